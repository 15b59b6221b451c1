/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Per-CPU counters. Mirror: src/counter.rs. */
#pragma once

#include "bpf/types.h"

enum {
	METRICS_ENTRIES = 512,	/* 256 reasons in two directions */
};

/* Value of `counters` (by action) and of `metrics` (by direction << 8 | reason, 0 meaning forwarded). */
struct counter {
	u64 packets;
	u64 bytes;	/* from the IP header on */
};

_Static_assert(sizeof(struct counter) == 16, "struct counter");
_Static_assert(__builtin_offsetof(struct counter, bytes) == 8, "struct counter");
