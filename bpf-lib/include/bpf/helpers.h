/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel helpers that the datapath calls, by their number in the kernel's ABI. */
#pragma once

#include "bpf/types.h"

enum {
	NSEC_PER_SEC = 1000000000,
};

struct __sk_buff;

static void *(*const map_lookup_elem)(const void *map, const void *key) = (void *)1;
static long (*const map_update_elem)(const void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const map_delete_elem)(const void *map, const void *key) = (void *)3;
static long (*const skb_store_bytes)(struct __sk_buff *ctx, u32 offset, const void *from, u32 length, u64 flags) =
	(void *)9;
/* Goes on in the program at @index of @programs and does not come back; comes back when there is none. */
static long (*const tail_call)(struct __sk_buff *ctx, const void *programs, u32 index) = (void *)12;
static long (*const redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*const skb_load_bytes)(struct __sk_buff *ctx, u32 offset, void *to, u32 length) = (void *)26;
static s64 (*const csum_diff)(const void *from, u32 from_size, const void *to, u32 to_size, u32 seed) = (void *)28;
static void *(*const ringbuf_reserve)(const void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ringbuf_submit)(void *record, u64 flags) = (void *)132;
static u64 (*const ringbuf_query)(const void *ring, u64 what) = (void *)134;
/* CLOCK_MONOTONIC as of the last tick: enough for timeouts in seconds, at a third of the price. */
static u64 (*const ktime_get_coarse_ns)(void) = (void *)160;
/* Calls @visit(map, key, value, @context) for every entry, until it answers 1. */
static long (*const for_each_map_elem)(const void *map, const void *visit, void *context, u64 flags) = (void *)164;
