/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ports, ICMP type and TCP flags. */
#pragma once

#include "abi/drop_reason.h"
#include "bpf/helpers.h"
#include "config/node.h"
#include "lib/flow.h"

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

enum {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_FRAG_NEEDED = 4,	/* code of ICMP_UNREACHABLE */
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP6_UNREACHABLE = 1,
	ICMP6_PARAMETER_PROBLEM = 4,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
};

/* First eight bytes of every L4 header that we know, which is also the least that an ICMP error quotes. */
union l4_header {
	struct {
		be16 source_be;
		be16 destination_be;
	} port;
	struct {
		u8 type;
		u8 code;
		be16 checksum_be;
		be16 id_be;
	} icmp;
	u64 all;
};

_Static_assert(sizeof(union l4_header) == 8, "union l4_header");

/* Bytes of the shortest header of @proto, or DROP_CT_UNKNOWN_PROTO when policy does not know the protocol. */
static __always_inline int l4_min_length(u8 family, u8 proto)
{
	if (proto == PROTO_TCP)
		return 20;
	if (proto == PROTO_UDP)
		return 8;
	if (family == 4 && proto == PROTO_ICMP)
		return 8;
	if (family == 6 && proto == PROTO_ICMP6)
		return 8;
#if ENABLE_SCTP
	if (proto == PROTO_SCTP)
		return 12;
#endif
	return DROP_CT_UNKNOWN_PROTO;
}

/* Reads the L4 header's first bytes at flow->l4_offset. */
static __always_inline int l4_load_head(struct __sk_buff *ctx, struct flow *flow)
{
	const union l4_header *linear = ctx_at(ctx, flow->l4_offset, sizeof(*linear));
	union l4_header head;

	if (likely(linear))
		head = *linear;
	else if (skb_load_bytes(ctx, flow->l4_offset, &head, sizeof(head)))
		return DROP_INVALID_PACKET;
	if (flow_is_icmp(flow)) {
		flow->icmp_type = head.icmp.type;
		flow->icmp_code = head.icmp.code;
		flow->icmp_id_be = head.icmp.id_be;
	} else {
		flow->source_port_be = head.port.source_be;
		flow->destination_port_be = head.port.destination_be;
	}
	return CTX_ACT_OK;
}

/* Reads the L4 header at flow->l4_offset, of which the IP header promises @length bytes. */
static __always_inline int l4_load(struct __sk_buff *ctx, struct flow *flow, u32 length)
{
	int least = l4_min_length(flow->family, flow->proto);
	const u8 *linear;

	if (least < 0)
		return least;
	if (length < (u32)least)
		return DROP_INVALID_PACKET;
	if (flow->proto == PROTO_TCP) {
		linear = ctx_at(ctx, flow->l4_offset + 13, 1);
		if (likely(linear))
			flow->tcp_flags = *linear;
		else if (skb_load_bytes(ctx, flow->l4_offset + 13, &flow->tcp_flags, 1))
			return DROP_INVALID_PACKET;
	}
	return l4_load_head(ctx, flow);
}

/* Whether the packet is an ICMP error, which quotes the packet it is about. */
static __always_inline bool l4_is_icmp_error(const struct flow *flow)
{
	if (flow->proto == PROTO_ICMP)
		return flow->icmp_type == ICMP_UNREACHABLE || flow->icmp_type == ICMP_TIME_EXCEEDED ||
		       flow->icmp_type == ICMP_PARAMETER_PROBLEM;
	return flow->proto == PROTO_ICMP6 && flow->icmp_type >= ICMP6_UNREACHABLE &&
	       flow->icmp_type <= ICMP6_PARAMETER_PROBLEM;
}
