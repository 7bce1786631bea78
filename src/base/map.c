#include "base/map.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

enum { SLOT_FREE = 0 };
#define SLOT_DELETED (~0U)

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void hash_key_make(void)
{
	random_bytes(hash_key, sizeof(hash_key));
}

static uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-2-4. */
static uint64_t siphash(const char *bytes, size_t len)
{
	uint64_t v[4] = { hash_key[0] ^ 0x736f6d6570736575ULL, hash_key[1] ^ 0x646f72616e646f6dULL,
			  hash_key[0] ^ 0x6c7967656e657261ULL,
			  hash_key[1] ^ 0x7465646279746573ULL };
	uint64_t word;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, bytes + i, 8);
		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)len << 56;
	for (size_t k = 0; i + k < len; k++)
		word |= (uint64_t)(unsigned char)bytes[i + k] << (8 * k);
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static size_t first_slot(const struct map *m, const char *key)
{
	pthread_once(&hash_key_once, hash_key_make);
	return (size_t)siphash(key, strlen(key)) & (m->n_slots - 1);
}

/* The slot that holds key, or NULL. */
static unsigned *find(const struct map *m, const char *key)
{
	if (m->n_slots == 0)
		return NULL;
	for (size_t i = first_slot(m, key);; i = (i + 1) & (m->n_slots - 1)) {
		unsigned slot = m->slots[i];

		if (slot == SLOT_FREE)
			return NULL;
		if (slot != SLOT_DELETED && strcmp(m->entries[slot - 1].key, key) == 0)
			return &m->slots[i];
	}
}

static void insert_slot(struct map *m, const char *key, size_t index)
{
	size_t i = first_slot(m, key);

	while (m->slots[i] != SLOT_FREE && m->slots[i] != SLOT_DELETED)
		i = (i + 1) & (m->n_slots - 1);
	m->slots[i] = (unsigned)index + 1;
}

/* Squeeze removed entries out and hash the rest anew. */
static void rebuild(struct map *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_entries; i++)
		if (m->entries[i].key != NULL)
			m->entries[n++] = m->entries[i];
	m->n_entries = n;
	if (n == m->cap_entries) {
		m->cap_entries = n ? n * 2 : 8;
		m->entries = xreallocarray(m->entries, m->cap_entries, sizeof(*m->entries));
	}
	free(m->slots);
	m->n_slots = 16;
	while (m->n_slots < m->cap_entries * 2)
		m->n_slots *= 2;
	m->slots = xcalloc(m->n_slots, sizeof(*m->slots));
	for (size_t i = 0; i < n; i++)
		insert_slot(m, m->entries[i].key, i);
}

void *map_get(const struct map *m, const char *key)
{
	const unsigned *slot = find(m, key);

	return slot ? m->entries[*slot - 1].value : NULL;
}

bool map_has(const struct map *m, const char *key)
{
	return find(m, key) != NULL;
}

void map_set(struct map *m, const char *key, void *value)
{
	const unsigned *slot = find(m, key);

	if (slot != NULL) {
		struct map_entry *e = &m->entries[*slot - 1];

		if (m->free_value != NULL && e->value != value)
			m->free_value(e->value);
		e->value = value;
		return;
	}
	if (m->n_entries == m->cap_entries)
		rebuild(m);
	m->entries[m->n_entries] = (struct map_entry){ xstrdup(key), value };
	insert_slot(m, key, m->n_entries);
	m->n_entries++;
	m->len++;
}

void *map_steal(struct map *m, const char *key)
{
	unsigned *slot = find(m, key);
	struct map_entry *e;
	void *value;

	if (slot == NULL)
		return NULL;
	e = &m->entries[*slot - 1];
	value = e->value;
	free((char *)(uintptr_t)e->key);
	*e = (struct map_entry){ 0 };
	*slot = SLOT_DELETED;
	m->len--;
	return value;
}

bool map_remove(struct map *m, const char *key)
{
	void *value;

	if (!map_has(m, key))
		return false;
	value = map_steal(m, key);
	if (m->free_value != NULL)
		m->free_value(value);
	return true;
}

void map_release(struct map *m)
{
	for (size_t i = 0; i < m->n_entries; i++) {
		if (m->entries[i].key == NULL)
			continue;
		free((char *)(uintptr_t)m->entries[i].key);
		if (m->free_value != NULL)
			m->free_value(m->entries[i].value);
	}
	free(m->entries);
	free(m->slots);
	*m = (struct map){ .free_value = m->free_value };
}
