/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose packet it is. Endpoints of one policy share a program: at each interface stands a short entry program, which
 * says in the packet's control block whose interface it is and then jumps here.
 */
#pragma once

#include "abi/endpoint.h"
#include "bpf/ctx.h"
#include "bpf/helpers.h"
#include "bpf/map.h"

/* Values of the program, which the loader sets in the object's read-only data before it loads it. */
const volatile u32 generation = 0;	/* of the bundle */
const volatile u32 default_cause = 0;	/* of drops that no table decides */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__type(key, u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* The endpoint, or NULL when the slot is not that of the endpoint whose entry program came here. */
static __always_inline const struct endpoint *endpoint_find(struct __sk_buff *ctx)
{
	u32 slot = ctx->cb[ENTRY_CB_SLOT];
	const struct endpoint *endpoint = map_lookup_elem(&endpoints, &slot);

	if (!endpoint || !endpoint->id || endpoint->id != ctx->cb[ENTRY_CB_ENDPOINT])
		return NULL;
	return endpoint;
}
