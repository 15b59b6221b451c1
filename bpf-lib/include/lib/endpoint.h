/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Values of one endpoint, which the loader sets in the object's read-only data before it loads the program. */
#pragma once

#include "bpf/types.h"

const volatile u32 endpoint_id = 0;	/* number on this node */
const volatile u32 endpoint_index = 0;	/* identity index */
const volatile u32 endpoint_identity = 0;	/* numeric identity */
const volatile be32 endpoint_ipv4_be = 0;	/* address, 0 for none */
const volatile be64 endpoint_ipv6_hi_be = 0;	/* first half of the address, 0 for none */
const volatile be64 endpoint_ipv6_lo_be = 0;	/* second half */
const volatile u32 generation = 0;	/* of the bundle */
const volatile u32 default_cause = 0;	/* of drops that no table decides */
