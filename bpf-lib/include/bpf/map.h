/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a map is declared: its definition is read from BTF. */
#pragma once

#include "bpf/compiler.h"

#define __uint(name, value) int(*name)[value]
#define __type(name, type) typeof(type) *name

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_F_NO_PREALLOC = 1U << 0,
	BPF_F_MMAPABLE = 1U << 10,
};

/* Flags of map_update_elem(). */
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};

/* What ringbuf_query() is asked for. */
enum {
	BPF_RB_AVAIL_DATA = 0,	/* bytes that nobody has read yet */
};

/* Entries of an array whose size the loader sets. */
#define SET_AT_LOAD 1
