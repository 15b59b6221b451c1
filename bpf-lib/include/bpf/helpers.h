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
static long (*const skb_load_bytes)(struct __sk_buff *ctx, u32 offset, void *to, u32 length) = (void *)26;
static void *(*const ringbuf_reserve)(const void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ringbuf_submit)(void *record, u64 flags) = (void *)132;
/* CLOCK_MONOTONIC as of the last tick: enough for timeouts in seconds, at a third of the price. */
static u64 (*const ktime_get_coarse_ns)(void) = (void *)160;
/* Calls @visit(map, key, value, @context) for every entry, until it answers 1. */
static long (*const for_each_map_elem)(const void *map, const void *visit, void *context, u64 flags) = (void *)164;
