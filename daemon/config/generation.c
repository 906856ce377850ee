/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A configuration in a memfd: the canonical text, and for each of its lines where the operator
 * wrote it. Whoever gets the descriptor reads it as any other file, through libconfig and all
 * checks, so that a newer daemon reads what an older one wrote; only the places are translated.
 * What has no place is a default.
 */
#include "config/build.h"
#include "config/node.h"
#include "config/owner.h"
#include "config/parse.h"
#include "config/print.h"
#include "config/source.h"

#include "base/report.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Then the files' names, each with its NUL; n_lines places; the text. */
struct header {
	char magic[16];
	uint32_t version;
	uint32_t n_files;
	uint64_t files_len;
	uint64_t n_lines;
	uint64_t text_len;
	uint64_t digest; /* of all that follows the header */
};

static const char magic[16] = "spliced config\n";
enum { GENERATION_VERSION = 1 };

static int write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;
	ssize_t n;

	while (len > 0) {
		n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Everything behind the header. */
static int print_body(const struct config *config, FILE *file, struct header *header,
		      struct print_lines *lines)
{
	char *text = NULL;
	FILE *text_file = open_memstream(&text, &(size_t){0});
	long before, after;
	int r;

	if (!text_file)
		return -ENOMEM;
	r = print_config(config, text_file, lines);
	after = ftell(text_file);
	if (fclose(text_file) != 0 && r == 0)
		r = -ENOMEM;
	for (unsigned i = 0; i < config->n_files && r == 0; i++)
		fwrite(config->files[i], strlen(config->files[i]) + 1, 1, file);
	before = ftell(file);
	if (r == 0) {
		fwrite(lines->places, sizeof(*lines->places), lines->n, file);
		fwrite(text, 1, (size_t)after, file);
		header->files_len = (uint64_t)before;
		header->text_len = (uint64_t)after;
		header->n_lines = lines->n;
		header->n_files = config->n_files;
	}
	free(text);
	return r;
}

static int print_generation(const struct config *config, struct config_owner *owner,
			    struct header *header, char **body, size_t *len)
{
	struct print_lines lines = {.owner = owner};
	FILE *file = open_memstream(body, len);
	int r;

	if (!file)
		return -ENOMEM;
	r = print_body(config, file, header, &lines);
	if (fclose(file) != 0 && r == 0)
		r = -ENOMEM;
	return r;
}

int config_write_generation(const struct config *config, int fd)
{
	struct header header = {.version = GENERATION_VERSION};
	struct config_owner *owner;
	char *body = NULL;
	size_t len = 0;
	int r;

	memcpy(header.magic, magic, sizeof(magic));
	r = owner_new(&owner);
	if (r < 0)
		return r;
	r = print_generation(config, owner, &header, &body, &len);
	if (r == 0) {
		header.digest = XXH3_64bits(body, len);
		r = write_all(fd, &header, sizeof(header));
	}
	if (r == 0)
		r = write_all(fd, body, len);
	free(body);
	owner_free(owner);
	return r;
}

static int read_at(int fd, off_t at, void *bytes, size_t len)
{
	char *to = bytes;
	ssize_t n;

	while (len > 0) {
		n = pread(fd, to, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EINVAL;
		to += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Do the sizes in the header add up to what is there? */
static bool is_sound(const struct header *header, size_t len)
{
	return memcmp(header->magic, magic, sizeof(magic)) == 0 &&
	       header->version == GENERATION_VERSION && header->files_len <= len &&
	       header->n_lines <= len / sizeof(struct config_place) && header->text_len <= len &&
	       header->files_len + header->n_lines * sizeof(struct config_place) +
			       header->text_len ==
		       len;
}

static int add_files(struct check *check, const struct header *header, const char *body)
{
	const char *at = body, *end = body + header->files_len;
	uint32_t index;
	int r = 0;

	if (header->files_len && end[-1] != '\0')
		return -EINVAL;
	for (uint32_t i = 0; i < header->n_files && r == 0; i++) {
		if (at == end)
			return -EINVAL;
		r = check_add_file(check, at, &index);
		at += strlen(at) + 1;
	}
	return r;
}

static int check_body(struct check *check, const struct header *header, const char *body)
{
	const char *text = body + header->files_len + header->n_lines * sizeof(struct config_place);
	struct config_place *places;
	struct source source;
	struct node *root = NULL;
	int r;

	r = add_files(check, header, body);
	if (r < 0)
		return r;
	places = owner_take(check->scratch, header->n_lines, sizeof(*places));
	if (!places)
		return -ENOMEM;
	memcpy(places, body + header->files_len, header->n_lines * sizeof(*places));
	r = source_read_text(&source, check, text, header->text_len, places, header->n_lines);
	if (r == 0)
		r = parse_source(check, &source, &root);
	if (r < 0)
		return r;
	return root ? check_tree(check, root, false) : -EINVAL;
}

static int read_body(struct check *check, int fd)
{
	struct header header;
	struct stat stat;
	size_t len;
	char *body;
	int r;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (stat.st_size < (off_t)sizeof(header) || stat.st_size > INT_MAX)
		return -EINVAL;
	len = (size_t)stat.st_size - sizeof(header);
	r = read_at(fd, 0, &header, sizeof(header));
	if (r < 0)
		return r;
	body = is_sound(&header, len) ? owner_take(check->scratch, len, 1) : NULL;
	if (!body)
		return is_sound(&header, len) ? -ENOMEM : -EINVAL;
	r = read_at(fd, sizeof(header), body, len);
	if (r == 0 && XXH3_64bits(body, len) != header.digest)
		r = -EINVAL;
	return r < 0 ? r : check_body(check, &header, body);
}

int config_read_generation(int fd, struct families *families, struct config **ret,
			   struct report *report)
{
	struct check check;
	int r;

	r = build_start(&check, families, report);
	check.generation = true;
	if (r == 0)
		r = read_body(&check, fd);
	if (r < 0 && r != -ENOMEM && !check.errors)
		report_add(report,
			   "this is no generation of a configuration that can be read here: %s",
			   strerror(-r));
	return build_finish(&check, r, ret);
}
