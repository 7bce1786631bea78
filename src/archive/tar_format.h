/* archive/tar_format.h: the 512-byte header block. Private to archive. */
#pragma once

#define TAR_BLOCK 512

struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[8]; /* "ustar\0" "00", or GNU's "ustar  \0" */
	char uname[32];
	char gname[32];
	char dev_major[8];
	char dev_minor[8];
	union {
		char prefix[155];
		struct { /* GNU */
			char times[41];
			char sparse[4][24]; /* offset[12] length[12] */
			char is_extended;
			char real_size[12];
		} gnu;
	};
	char pad[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "one block");
