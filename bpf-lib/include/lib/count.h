/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Adding a packet to a per-CPU counter. */
#pragma once

#include "abi/counter.h"
#include "bpf/compiler.h"

/* @counter may be NULL: accounting never decides about a packet. */
static __always_inline void counter_add(struct counter *counter, u32 bytes)
{
	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}
