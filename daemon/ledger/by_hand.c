/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file has two halves, which are written by turns: the valid one with the higher serial counts.
 * A half that was being written when the worker died has no valid digest. Readers copy with
 * pread(2) before they check: nothing that is done to the file meanwhile harms them.
 */
#include "ledger/by_hand.h"

#include "base/assert.h"
#include "ledger/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	VERSION = 1,
	HALF_SIZE = 1 << 20, /* of memory only what is written to */
	NAME_LENGTH_MAX = 4096,
};

static const char magic[8] = "by-hand";

struct head {
	char magic[8];
	uint32_t version, size; /* of the text */
	uint64_t serial;
	uint64_t digest; /* of all before, and the text; 0: not valid */
};

struct half {
	struct head head;
	char text[HALF_SIZE - sizeof(struct head)]; /* entries, each with its name behind it */
};

struct by_hand_file {
	struct half halves[2];
};

struct entry {
	uint32_t hand, weight_set;
	uint32_t length; /* of the name, without its NUL */
};

_Static_assert(sizeof(struct half) == HALF_SIZE && sizeof(struct entry) == 12, "a format");

static const int seals = F_SEAL_SHRINK | F_SEAL_GROW;

int by_hand_make(void)
{
	int fd = memfd_create("spliced-by-hand", MFD_CLOEXEC | MFD_ALLOW_SEALING), r = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(struct by_hand_file)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, seals | F_SEAL_SEAL) < 0)
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	return r;
}

/* Of this size, and it stays so. */
static bool is_file(int fd)
{
	int sealed = fcntl(fd, F_GET_SEALS);
	struct stat status;

	return sealed >= 0 && (sealed & seals) == seals && !fstat(fd, &status) &&
	       status.st_size == sizeof(struct by_hand_file);
}

struct by_hand_file *by_hand_map(int fd)
{
	void *map;

	if (!is_file(fd))
		return NULL;
	map = mmap(NULL, sizeof(struct by_hand_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

/* Never 0. The size is within bounds. */
static uint64_t digest_half(const struct half *half)
{
	struct head head = half->head;
	uint64_t digest;

	head.digest = XXH3_64bits(half->text, head.size);
	digest = XXH3_64bits(&head, sizeof head);
	return digest ? digest : 1;
}

static bool is_whole(const struct half *half)
{
	return !memcmp(half->head.magic, magic, sizeof magic) && half->head.version == VERSION &&
	       half->head.size <= sizeof half->text && half->head.digest == digest_half(half);
}

/* NULL: none is whole. */
static const struct half *find_newest(const struct by_hand_file *file)
{
	const struct half *newest = NULL;

	for (int i = 0; i < 2; i++)
		if (is_whole(&file->halves[i]) &&
		    (!newest || file->halves[i].head.serial > newest->head.serial))
			newest = &file->halves[i];
	return newest;
}

/* ---- writing ---- */

void by_hand_begin(struct by_hand_writer *writer, struct by_hand_file *file)
{
	const struct half *newest = file ? find_newest(file) : NULL;

	*writer = (struct by_hand_writer){.file = file};
	if (!file)
		return;
	writer->half = newest == &file->halves[0];
	writer->serial = newest ? newest->head.serial + 1 : 1;
	file->halves[writer->half].head.digest = 0;
	atomic_thread_fence(memory_order_seq_cst);
}

void by_hand_add(struct by_hand_writer *writer, const char *name, uint32_t hand,
		 uint32_t weight_set)
{
	struct entry entry = {hand, weight_set, (uint32_t)strlen(name)};
	struct half *half;

	if (!writer->file)
		return;
	half = &writer->file->halves[writer->half];
	assert(writer->size <= sizeof half->text);
	if (entry.length > NAME_LENGTH_MAX ||
	    sizeof entry + entry.length + 1 > sizeof half->text - writer->size) {
		writer->left_out++;
		return;
	}
	memcpy(half->text + writer->size, &entry, sizeof entry);
	memcpy(half->text + writer->size + sizeof entry, name, entry.length + 1);
	writer->size += (uint32_t)sizeof entry + entry.length + 1;
}

void by_hand_end(struct by_hand_writer *writer)
{
	struct half *half;

	if (!writer->file)
		return;
	half = &writer->file->halves[writer->half];
	memcpy(half->head.magic, magic, sizeof magic);
	half->head.version = VERSION;
	half->head.size = writer->size;
	half->head.serial = writer->serial;
	atomic_thread_fence(memory_order_seq_cst);
	half->head.digest = digest_half(half);
}

/* ---- reading ---- */

/* The flags and the weight that a worker might have set for a name like this. */
static bool is_possible(const struct entry *entry, const char *name)
{
	if (!*name || *name == '/')
		return false;
	if (!strchr(name, '/'))
		return !(entry->hand & ~(uint32_t)(LEDGER_HAND_DRAIN | LEDGER_HAND_HOLD)) &&
		       !entry->weight_set;
	return (!entry->hand || entry->hand == LEDGER_HAND_DRAIN ||
		entry->hand == (LEDGER_HAND_DRAIN | LEDGER_HAND_DISABLE)) &&
	       entry->weight_set <= LEDGER_WEIGHT_MAX + 1;
}

/* each: NULL: only checks. How many; or -EPROTO. */
static int visit(const struct half *half, by_hand_each *each, void *context)
{
	const char *next = half->text, *end = half->text + half->head.size;
	struct entry entry;
	int count = 0;

	for (; next < end; count++) {
		if (end - next < (ptrdiff_t)sizeof entry)
			return -EPROTO;
		memcpy(&entry, next, sizeof entry);
		next += sizeof entry;
		if (entry.length > NAME_LENGTH_MAX || entry.length >= end - next ||
		    strnlen(next, entry.length + 1) != entry.length || !is_possible(&entry, next))
			return -EPROTO;
		if (each)
			each(context, next, entry.hand, entry.weight_set);
		next += entry.length + 1;
	}
	return count;
}

static int copy(int fd, struct by_hand_file *file)
{
	size_t done = 0;
	ssize_t n;

	while (done < sizeof *file) {
		n = pread(fd, (char *)file + done, sizeof *file - done, (off_t)done);
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPROTO;
		done += (size_t)n;
	}
	return 0;
}

/* Why none of its halves counts; 0: nothing was ever written. */
static int explain(const struct by_hand_file *file)
{
	static const struct head none;
	bool written = false, other = false;

	for (int i = 0; i < 2; i++) {
		const struct head *head = &file->halves[i].head;

		written |= memcmp(head, &none, sizeof none) != 0;
		other |= !memcmp(head->magic, magic, sizeof magic) && head->version != VERSION;
	}
	return other ? -EPROTONOSUPPORT : written ? -EPROTO : 0;
}

int by_hand_read(int fd, by_hand_each *each, void *context)
{
	struct by_hand_file *file;
	const struct half *newest;
	int r;

	if (!is_file(fd))
		return -EPROTO;
	file = malloc(sizeof *file);
	if (!file)
		return -ENOMEM;
	r = copy(fd, file);
	newest = r ? NULL : find_newest(file);
	if (newest) {
		r = visit(newest, NULL, NULL);
		if (r > 0)
			r = visit(newest, each, context);
	} else if (!r) {
		r = explain(file);
	}
	free(file);
	return r;
}
