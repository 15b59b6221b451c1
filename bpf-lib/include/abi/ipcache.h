/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Address to identity index: the pages of the two tries. Mirror and only writer: src/ipcache.rs. */
#pragma once

#include "bpf/types.h"

enum {
	IPCACHE_PAGE_CELLS = 256,
	IPCACHE_STEPS4_MAX = 3,
	IPCACHE_STEPS6_MAX = 16,
};

/* Bit of a cell that holds the number of the page to go on in. */
#define IPCACHE_NEXT_PAGE (1U << 31)

/* Value of `ipcache4`; pages 0-255 are indexed by the first 16 bits of the address. */
struct ipcache_page4 {
	u32 cell[IPCACHE_PAGE_CELLS];
};

/* Value of `ipcache6`. Masks and values are in host order. */
struct ipcache_page6 {
	u64 mask_hi;	/* bits of the address that must agree to be in this page */
	u64 mask_lo;
	u64 value_hi;	/* what they must agree with */
	u64 value_lo;
	u32 byte;	/* byte of the address that indexes the cells, 0 first */
	u32 fallback;	/* identity index of an address that disagrees */
	u32 cell[IPCACHE_PAGE_CELLS];
};

_Static_assert(sizeof(struct ipcache_page4) == 1024, "struct ipcache_page4");
_Static_assert(sizeof(struct ipcache_page6) == 1064, "struct ipcache_page6");
_Static_assert(__builtin_offsetof(struct ipcache_page6, byte) == 32, "struct ipcache_page6");
_Static_assert(__builtin_offsetof(struct ipcache_page6, cell) == 40, "struct ipcache_page6");
