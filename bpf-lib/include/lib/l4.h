/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ports, ICMP type and TCP flags. */
#pragma once

#include "abi/drop_reason.h"
#include "bpf/ctx.h"
#include "config/node.h"
#include "lib/flow.h"

enum {
	TCP_FLAGS_OFFSET = 13,
};

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

/* Bytes of the shortest header of @proto in @family, or DROP_CT_UNKNOWN_PROTO when policy does not know the protocol. */
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

/* Whether the packet asks for an echo. */
static __always_inline bool l4_is_echo(const struct flow *flow)
{
	return flow->icmp_type == (flow->proto == PROTO_ICMP ? ICMP_ECHO : ICMP6_ECHO);
}

/* Whether the packet answers an echo. */
static __always_inline bool l4_is_echo_reply(const struct flow *flow)
{
	return flow->icmp_type == (flow->proto == PROTO_ICMP ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY);
}

/*
 * Reads the L4 header's first bytes at flow->l4_offset. An echo gets ports: its identifier is the port of the side that
 * asks, the other is 0, and so a request never looks like the reply to another one.
 */
static __always_inline int l4_load_head(struct __sk_buff *ctx, struct flow *flow)
{
	union l4_header head;

	if (skb_load_bytes(ctx, flow->l4_offset, &head, sizeof(head)))
		return DROP_INVALID_PACKET;
	if (!flow_is_icmp(flow)) {
		flow->source_port_be = head.port.source_be;
		flow->destination_port_be = head.port.destination_be;
		return CTX_ACT_OK;
	}
	flow->icmp_type = head.icmp.type;
	flow->icmp_code = head.icmp.code;
	if (l4_is_echo(flow))
		flow->source_port_be = head.icmp.id_be;
	else if (l4_is_echo_reply(flow))
		flow->destination_port_be = head.icmp.id_be;
	return CTX_ACT_OK;
}

/* Reads the flags of a TCP header at flow->l4_offset. */
static __always_inline int l4_load_flags(struct __sk_buff *ctx, struct flow *flow)
{
	if (skb_load_bytes(ctx, flow->l4_offset + TCP_FLAGS_OFFSET, &flow->tcp_flags, sizeof(flow->tcp_flags)))
		return DROP_INVALID_PACKET;
	return CTX_ACT_OK;
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
