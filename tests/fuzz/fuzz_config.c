/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libFuzzer's way into the configuration: any bytes as a file. What is accepted must print, read as
 * itself, and come through a generation, always with the same digest; what is refused must say why.
 *
 * Build with clang -fsanitize=fuzzer,address,undefined and the sources of daemon/;
 * SPLICED_PLUGIN_DIR says where the families are, tests/conf has files to start from.
 */
#include "base/report.h"
#include "config/config.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct families families;

static void must(int condition)
{
	if (!condition)
		abort();
}

static int write_file(const void *bytes, size_t len, char *path, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

static struct config *load(const void *bytes, size_t len)
{
	struct report report = {0};
	struct config *config = NULL;
	char path[64];
	int fd = write_file(bytes, len, path, sizeof path), r;
	struct config_source source = {.path = path, .families = &families};

	r = config_load(&source, &config, &report);
	must((r >= 0 || report.count > 0) && (r < 0) == !config); /* what is odd is told, too */
	report_done(&report);
	close(fd);
	return config;
}

static void check_text(const struct config *config)
{
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);
	struct config *again;

	must(config_print(config, file) == 0 && fclose(file) == 0);
	again = load(text, len);
	must(again && again->digest == config->digest);
	config_free(again);
	free(text);
}

static void check_generation(const struct config *config)
{
	struct report report = {0};
	struct config *again = NULL;
	int fd = memfd_create("generation", MFD_CLOEXEC);

	must(config_write_generation(config, &families, fd, &report) == 0);
	must(config_read_generation(fd, &families, &again, &report) == 0);
	must(again->digest == config->digest && again->n_routes == config->n_routes);
	config_free(again);
	close(fd);
}

/* All at once: each load is tried in a forked child first, which here is dear. */
static void load_families(void)
{
	struct report report = {0};

	must(families_init(&families, getenv("SPLICED_PLUGIN_DIR"), geteuid()) == 0);
	families_load_all(&families, &report);
	report_done(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct config *config;

	if (!families.dir)
		load_families();
	config = load(bytes, len);
	if (config) {
		check_text(config);
		check_generation(config);
	}
	config_free(config);
	return 0;
}
