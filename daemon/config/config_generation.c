/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A configuration in a memfd: the canonical text, and for each of its lines its location in the
 * operator's files. The descriptor is read as any other file, through libconfig and all checks, so
 * that a newer daemon can read what an older one wrote; only the locations are translated. A
 * setting without a location is a default.
 */
#include "base/arena.h"
#include "config/build.h"
#include "config/print.h"
#include "config/root.h"
#include "language/parse.h"
#include "language/setting.h"
#include "language/source.h"

#include "base/report.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Then, since version 2, the length of the answers; the files' names, each with its NUL; n_lines
 * locations; the text; the answers. */
struct header {
	char magic[16];
	uint32_t version;
	uint32_t n_files;
	uint64_t files_len;
	uint64_t n_lines;
	uint64_t text_len;
	uint64_t digest; /* of all that follows the header */
	uint64_t answers_len;
};

/* The bytes that follow a header, without the answers. */
struct body {
	struct header header;
	char *bytes;
	size_t len;
};

static const char magic[16] = "spliced config\n";
enum { GENERATION_VERSION = 2, VERSION_WITHOUT_ANSWERS = 1 };

static size_t header_size(const struct header *header)
{
	return header->version == VERSION_WITHOUT_ANSWERS ? offsetof(struct header, answers_len)
							  : sizeof(*header);
}

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
	for (unsigned i = 0; i < config->files.n && r == 0; i++)
		fwrite(config->files.names[i], strlen(config->files.names[i]) + 1, 1, file);
	before = ftell(file);
	if (r == 0) {
		fwrite(lines->locations, sizeof(*lines->locations), lines->n, file);
		fwrite(text, 1, (size_t)after, file);
		header->files_len = (uint64_t)before;
		header->text_len = (uint64_t)after;
		header->n_lines = lines->n;
		header->n_files = config->files.n;
	}
	free(text);
	return r;
}

/* body->bytes is malloc()ed. */
static int print_generation(const struct config *config, struct body *body)
{
	struct print_lines lines = {0};
	FILE *file;
	int r;

	r = arena_new(&lines.arena);
	if (r < 0)
		return r;
	file = open_memstream(&body->bytes, &body->len);
	r = file ? print_body(config, file, &body->header, &lines) : -ENOMEM;
	arena_free(lines.arena);
	if (!file)
		return r;
	if (fclose(file) != 0 && r == 0)
		r = -ENOMEM;
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
	return memcmp(header->magic, magic, sizeof(magic)) == 0 && header->files_len <= len &&
	       header->n_lines <= len / sizeof(struct location) && header->text_len <= len &&
	       header->answers_len <= len &&
	       header->files_len + header->n_lines * sizeof(struct location) + header->text_len +
			       header->answers_len ==
		       len;
}

static int read_header(int fd, struct header *header, size_t *len)
{
	struct stat stat;
	int r;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (stat.st_size > INT_MAX)
		return -EINVAL;
	r = read_at(fd, 0, header, offsetof(struct header, answers_len));
	if (r == 0 && header->version == GENERATION_VERSION)
		r = read_at(fd, 0, header, sizeof(*header));
	else if (r == 0 && header->version != VERSION_WITHOUT_ANSWERS)
		r = -EINVAL;
	if (r < 0)
		return r;
	*len = (size_t)stat.st_size - header_size(header);
	return is_sound(header, *len) ? 0 : -EINVAL;
}

/* body->bytes is the arena's; the answers stand behind them. */
static int read_body(int fd, struct arena *arena, struct body *body)
{
	size_t len = 0;
	int r;

	body->header.answers_len = 0;
	r = read_header(fd, &body->header, &len);
	if (r < 0)
		return r;
	body->bytes = arena_take(arena, len + 1, 1);
	if (!body->bytes)
		return -ENOMEM;
	r = read_at(fd, (off_t)header_size(&body->header), body->bytes, len);
	if (r == 0 && XXH3_64bits(body->bytes, len) != body->header.digest)
		r = -EINVAL;
	body->len = len - body->header.answers_len;
	return r;
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
		r = reader_add_file(&check->reader, at, &index);
		at += strlen(at) + 1;
	}
	return r;
}

static int check_body(struct check *check, const struct body *body, bool daemon_only)
{
	const struct header *header = &body->header;
	const char *text =
		body->bytes + header->files_len + header->n_lines * sizeof(struct location);
	struct location *locations;
	struct source source;
	struct setting *root = NULL;
	int r;

	r = add_files(check, header, body->bytes);
	if (r < 0)
		return r;
	locations = arena_take(check->scratch, header->n_lines, sizeof(*locations));
	if (!locations)
		return -ENOMEM;
	memcpy(locations, body->bytes + header->files_len, header->n_lines * sizeof(*locations));
	r = source_read_text(&source, &check->reader, text, header->text_len, locations,
			     header->n_lines);
	if (r == 0)
		r = parse_source(&check->reader, &source, &root);
	if (r < 0)
		return r;
	return root ? root_read(check, root, daemon_only) : -EINVAL;
}

static int start_reading(struct check *check, struct families *families, struct report *report)
{
	int r = build_start(check, families, report);

	check->generation = true;
	return r;
}

static int finish_reading(struct check *check, int r, struct config **ret)
{
	if (check->answers.error)
		r = check->answers.error;
	else if (r == 0 && !check->reader.errors)
		r = answers_end(&check->answers);
	if (r < 0 && r != -ENOMEM && (!check->reader.errors || r == -EPROTO))
		report_add(check->reader.report, "the stored configuration cannot be read: %s",
			   strerror(-r));
	return build_finish(check, r, ret);
}

/* Asks by reading it. *answers are malloc()ed. */
static int ask(const struct body *body, struct families *families, char **answers, size_t *len,
	       struct report *report)
{
	struct config *config = NULL;
	struct check check;
	int r;

	r = start_reading(&check, families, report);
	check.answers.mode = ANSWERS_WRITTEN;
	if (r == 0)
		r = check_body(&check, body, false);
	*answers = check.answers.bytes;
	*len = check.answers.len;
	r = finish_reading(&check, r, &config);
	config_free(config);
	return r;
}

static int write_generation(int fd, struct body *body, const char *answers, size_t len)
{
	struct header *header = &body->header;
	XXH3_state_t *state = XXH3_createState();
	int r;

	if (!state)
		return -ENOMEM;
	memcpy(header->magic, magic, sizeof(magic));
	header->version = GENERATION_VERSION;
	header->answers_len = len;
	XXH3_64bits_reset(state);
	XXH3_64bits_update(state, body->bytes, body->len);
	if (len)
		XXH3_64bits_update(state, answers, len);
	header->digest = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	r = write_all(fd, header, sizeof(*header));
	if (r == 0)
		r = write_all(fd, body->bytes, body->len);
	return r == 0 ? write_all(fd, answers, len) : r;
}

int config_write_generation(const struct config *config, struct families *families, int fd,
			    struct report *report)
{
	struct body body = {0};
	char *answers = NULL;
	size_t len = 0;
	int r;

	r = print_generation(config, &body);
	if (r == 0)
		r = ask(&body, families, &answers, &len, report);
	if (r == 0)
		r = write_generation(fd, &body, answers, len);
	free(answers);
	free(body.bytes);
	return r;
}

int config_answer_generation(int fd, struct families *families, int to, struct report *report)
{
	struct arena *arena;
	struct body body = {0};
	char *answers = NULL;
	size_t len = 0;
	int r;

	r = arena_new(&arena);
	if (r < 0)
		return r;
	r = read_body(fd, arena, &body);
	if (r == 0)
		r = ask(&body, families, &answers, &len, report);
	if (r == 0 && to >= 0)
		r = write_generation(to, &body, answers, len);
	free(answers);
	arena_free(arena);
	return r;
}

int config_resolve_generation(int fd, struct families *families, int to, struct report *report)
{
	struct config *before = NULL, *config = NULL;
	struct body body = {0};
	struct check check;
	int r;

	r = config_read_generation(fd, families, &before, report);
	if (r < 0)
		return r;
	r = start_reading(&check, families, report);
	check.resolves_names = check.resolve_listeners = true;
	if (r == 0)
		r = read_body(fd, check.scratch, &body);
	if (r == 0)
		r = check_body(&check, &body, false);
	r = finish_reading(&check, r, &config);
	if (r == 0)
		r = config->digest == before->digest
			    ? -EAGAIN
			    : config_write_generation(config, families, to, report);
	config_free(config);
	config_free(before);
	return r;
}

int config_read_generation(int fd, struct families *families, struct config **ret,
			   struct report *report)
{
	struct body body = {0};
	struct check check;
	int r;

	r = start_reading(&check, families, report);
	if (r == 0)
		r = read_body(fd, check.scratch, &body);
	if (r == 0 && body.header.version == GENERATION_VERSION)
		check.answers = (struct answers){.mode = ANSWERS_READ,
						 .bytes = body.bytes + body.len,
						 .len = body.header.answers_len};
	if (r == 0)
		r = check_body(&check, &body, false);
	return finish_reading(&check, r, ret);
}

int config_read_generation_daemon(int fd, struct config **ret, struct report *report)
{
	struct families none = {0};
	struct body body = {0};
	struct check check;
	int r;

	r = start_reading(&check, &none, report);
	if (r == 0)
		r = read_body(fd, check.scratch, &body);
	if (r == 0)
		r = check_body(&check, &body, true);
	return finish_reading(&check, r, ret);
}
