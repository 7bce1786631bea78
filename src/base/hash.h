/*
 * base/hash.h: SHA-256 and SHA-512 over OpenSSL's EVP (SHA-NI where the CPU
 * has it). A file of its own in the archive, so that binaries which never hash
 * do not link libcrypto.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

#define SHA256_SIZE 32
#define SHA512_SIZE 64

struct hash {
	void *ctx; /* EVP_MD_CTX */
};

void hash_init_sha256(struct hash *h);
void hash_init_sha512(struct hash *h);
void hash_add(struct hash *h, const void *bytes, size_t len);
/* The state goes on after a copy: for digests of prefixes and resumed writes. */
void hash_copy(const struct hash *from, struct hash *ret);
/* 32 or 64 bytes into out; h may then only be released. */
void hash_finish(struct hash *h, uint8_t *out);
void hash_release(struct hash *h);
void hash_sha256(const void *bytes, size_t len, uint8_t out[static SHA256_SIZE]);

DEFINE_AUTO(hash, hash_release);
