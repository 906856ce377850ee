/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cargo. A socket is identified by its cookie, which is never used again; all else by device
 * and inode. What surprised us: inodes of sockets and pipes are counted in 32 bits, and all copies
 * of a device's file have one: where descriptors came in their order, that decides.
 */
#include "ledger/cargo.h"

#include "base/sparse.h"
#include "config/limit.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"
#include "net/socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct cargo_arrival {
	int32_t fd; /* ours, plus one; 0: none */
	bool named;
};

enum { BATCH = 64 };

static bool is_same(const struct cargo_identity *one, const struct cargo_identity *other)
{
	return one->device == other->device && one->inode == other->inode &&
	       one->cookie == other->cookie;
}

static bool identify(int fd, struct cargo_identity *identity)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return false;
	*identity = (struct cargo_identity){status.st_dev, status.st_ino,
					    S_ISSOCK(status.st_mode) ? socket_cookie(fd) : 0};
	return true;
}

static uint32_t check_of(const struct cargo_entry *entry)
{
	return (uint32_t)XXH3_64bits(entry, offsetof(struct cargo_entry, check)) | 1;
}

/* ---- leaving ---- */

struct writing {
	int file;
	uint32_t n;
	struct cargo_entry entries[BATCH];
};

static int write_batch(struct writing *writing)
{
	size_t size = sizeof *writing->entries * writing->n;

	writing->n = 0;
	return write(writing->file, writing->entries, size) == (ssize_t)size ? 0 : -EIO;
}

static int write_one(int32_t *fd, uint64_t place, void *data)
{
	struct writing *writing = data;
	struct cargo_entry *entry = &writing->entries[writing->n];

	*entry = (struct cargo_entry){.place = place, .number = *fd};
	if (!identify(*fd, &entry->identity)) {
		*fd = -1;
		return 0;
	}
	entry->check = check_of(entry);
	return ++writing->n == BATCH ? write_batch(writing) : 0;
}

int cargo_write(struct ledger *ledger, int file)
{
	struct writing writing = {.file = file};
	int r;

	if (ftruncate(file, 0) < 0 || lseek(file, 0, SEEK_SET) < 0)
		return -errno;
	r = manifest_visit_places(ledger, write_one, &writing);
	return r ? r : write_batch(&writing);
}

/* ---- coming ---- */

static uint64_t hash_of_place(uint64_t place)
{
	return index_hash(&place, sizeof place, 0);
}

static uint64_t hash_of_identity(const struct cargo_identity *identity)
{
	return index_hash(identity, sizeof *identity, 0);
}

/* One that is not as it was written keeps its turn: what comes in its place is not the next's. */
static int index_entry(struct cargo *cargo, uint32_t i)
{
	struct cargo_entry *entry = &cargo->entries[i];
	int r;

	if (entry->check != check_of(entry) || entry->number < 0 ||
	    (uint32_t)entry->number >= cargo->size) {
		entry->check = 0;
		cargo->damage.entries++;
		return 0;
	}
	r = index_add(&cargo->by_place, hash_of_place(entry->place), i);
	return r ? r : index_add(&cargo->by_identity, hash_of_identity(&entry->identity), i);
}

int cargo_read(struct cargo *cargo, int file)
{
	struct stat status;
	size_t most;
	int r = 0;

	*cargo = (struct cargo){.size = limit_numbers()};
	if (fstat(file, &status) < 0)
		return -errno;
	most = (size_t)status.st_size / sizeof *cargo->entries;
	cargo->n = most < cargo->size ? (uint32_t)most : cargo->size;
	cargo->entries = calloc(cargo->n + 1, sizeof *cargo->entries);
	cargo->ours = sparse_new(cargo->size * sizeof *cargo->ours);
	if (!cargo->entries || !cargo->ours)
		return -ENOMEM;
	/* What cannot be read has no check that fits. */
	if (pread(file, cargo->entries, cargo->n * sizeof *cargo->entries, 0) < 0)
		return -errno;
	cargo->damage.entries = (size_t)status.st_size != cargo->n * sizeof *cargo->entries;
	for (uint32_t i = 0; i < cargo->n && !r; i++)
		r = index_entry(cargo, i);
	return r;
}

static bool has_come(const struct cargo *cargo, const struct cargo_entry *entry)
{
	return cargo->ours[entry->number].fd;
}

/* Its entry, if it did not come in its turn. Of several that nothing distinguishes, and that are
 * no copies of one socket, none. */
static const struct cargo_entry *find(const struct cargo *cargo,
				      const struct cargo_identity *identity)
{
	const struct cargo_entry *found = NULL;
	uint32_t i, n = 0;

	for (size_t at = 0; index_next(&cargo->by_identity, hash_of_identity(identity), &at, &i);) {
		const struct cargo_entry *entry = &cargo->entries[i];

		if (!is_same(&entry->identity, identity))
			continue;
		n++;
		if (!found || has_come(cargo, found))
			found = entry;
	}
	return n == 1 || identity->cookie ? found : NULL;
}

void cargo_take(struct cargo *cargo, int fd)
{
	uint32_t i = cargo->next++;
	const struct cargo_entry *entry = i < cargo->n ? &cargo->entries[i] : NULL;
	struct cargo_identity identity;

	if (!identify(fd, &identity) || !cargo->ours)
		entry = NULL;
	else if (!entry || !entry->check || !is_same(&entry->identity, &identity) ||
		 has_come(cargo, entry))
		entry = find(cargo, &identity);
	if (!entry) {
		cargo->damage.unknown++;
		close(fd);
	} else if (has_come(cargo, entry)) {
		close(fd); /* two places name one number: validate.h sees to them */
	} else {
		cargo->ours[entry->number].fd = fd + 1;
	}
}

static int settle_place(int32_t *fd, uint64_t place, void *data)
{
	struct cargo *cargo = data;
	int number = *fd;
	uint32_t i;

	*fd = -1;
	for (size_t at = 0; index_next(&cargo->by_place, hash_of_place(place), &at, &i);) {
		const struct cargo_entry *entry = &cargo->entries[i];

		if (entry->place != place || entry->number != number)
			continue;
		/* A record that lacks one is not counted again. */
		cargo->ours[number].named = true;
		*fd = cargo->ours[number].fd - 1;
		return 0;
	}
	cargo->damage.refused++;
	return 0;
}

void cargo_settle(struct cargo *cargo, struct ledger *old)
{
	manifest_visit_places(old, settle_place, cargo);
	for (uint32_t i = 0; cargo->ours && i < cargo->n; i++) {
		const struct cargo_entry *entry = &cargo->entries[i];
		struct cargo_arrival *arrival;

		if (!entry->check)
			continue;
		arrival = &cargo->ours[entry->number];
		cargo->damage.missing += !arrival->fd;
		if (!arrival->fd || arrival->named)
			continue;
		close(arrival->fd - 1);
		arrival->named = true;
		cargo->damage.unnamed++;
	}
	sparse_free(cargo->ours, cargo->size * sizeof *cargo->ours);
	cargo->ours = NULL;
}

void cargo_done(struct cargo *cargo)
{
	for (uint32_t i = 0; cargo->ours && i < cargo->size; i++)
		if (cargo->ours[i].fd)
			close(cargo->ours[i].fd - 1);
	sparse_free(cargo->ours, cargo->size * sizeof *cargo->ours);
	free(cargo->entries);
	index_done(&cargo->by_place);
	index_done(&cargo->by_identity);
	*cargo = (struct cargo){0};
}
