/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Conntrack keys and values. Mirror: src/conntrack.rs. */
#pragma once

#include "bpf/types.h"

/* Key of `conntrack4`, as the endpoint sees the flow. */
struct ct_key4 {
	be32 local_be;
	be32 peer_be;
	be16 local_port_be;
	be16 peer_port_be;
	u8 proto;
	u8 pad[3];
};

/* Key of `conntrack6`, as the endpoint sees the flow. */
struct ct_key6 {
	u8 local[16];
	u8 peer[16];
	be16 local_port_be;
	be16 peer_port_be;
	u8 proto;
	u8 pad[3];
};

enum {
	CT_CLOSING_FORWARD = 1,	/* the initiator sent a FIN, or someone an RST */
	CT_SEEN_NON_SYN = 2,	/* a TCP segment without SYN was seen */
	CT_CLOSING_REPLY = 4,	/* the other side sent a FIN, or someone an RST */
	CT_CLOSING = CT_CLOSING_FORWARD | CT_CLOSING_REPLY,
	CT_TOLD_RECEIVED = 8,	/* a packet to the endpoint was reported in this interval */
	CT_TOLD_SENT = 16,	/* a packet of the endpoint was */
	CT_TOLD_RELATED = 32,	/* an ICMP error about the flow was */
	CT_TOLD = CT_TOLD_RECEIVED | CT_TOLD_SENT | CT_TOLD_RELATED,
};

enum {
	CT_REPORT_CLOCK_BITS = 16,	/* of `expires_ns`, the lowest: see there */
	CT_REPORT_TICK_SHIFT = 28,	/* of monotonic time in nanoseconds: a tick of that clock is 0.27 seconds */
};

enum {
	CT_GENERATION_ENDED = 0,	/* `generation` of a flow that policy has refused since it began */
};

/* Value of both maps. */
struct ct_entry {
	/*
	 * Monotonic time after which the entry counts as absent. Nobody misses its lowest 16 bits, which are 65 us: there
	 * stands the tick in which the present interval of reports began.
	 */
	u64 expires_ns;
	u64 packets;	/* of both directions */
	u64 bytes;	/* of both directions, from the IP header on */
	u32 generation;	/* of the bundle whose policy allowed the flow last, or CT_GENERATION_ENDED */
	u8 initiator;	/* direction of the first packet */
	u8 flags;	/* CT_* */
	u8 tcp_told[2];	/* by direction: TCP flags that were reported */
};

_Static_assert(sizeof(struct ct_key4) == 16, "struct ct_key4");
_Static_assert(__builtin_offsetof(struct ct_key4, proto) == 12, "struct ct_key4");
_Static_assert(sizeof(struct ct_key6) == 40, "struct ct_key6");
_Static_assert(__builtin_offsetof(struct ct_key6, proto) == 36, "struct ct_key6");
_Static_assert(sizeof(struct ct_entry) == 32, "struct ct_entry");
_Static_assert(__builtin_offsetof(struct ct_entry, initiator) == 28, "struct ct_entry");
_Static_assert(__builtin_offsetof(struct ct_entry, tcp_told) == 30, "struct ct_entry");
