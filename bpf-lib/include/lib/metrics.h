/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets and bytes of the node by outcome and direction. */
#pragma once

#include "bpf/helpers.h"
#include "bpf/map.h"
#include "lib/count.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, METRICS_ENTRIES);
	__type(key, u32);
	__type(value, struct counter);
} metrics SEC(".maps");

/* @ret is CTX_ACT_OK or DROP_*. */
static __always_inline void metrics_count(int ret, u8 direction, u32 bytes)
{
	u32 index = (u32)direction << 8 | ((u32)-ret & 255);

	counter_add(map_lookup_elem(&metrics, &index), bytes);
}
