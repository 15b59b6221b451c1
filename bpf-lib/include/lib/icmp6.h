/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Neighbour discovery and multicast listening: IPv6's housekeeping on the link, which no policy can mean. */
#pragma once

#include "abi/drop_reason.h"
#include "bpf/endian.h"
#include "lib/endpoint.h"
#include "lib/l4.h"

enum {
	ICMP6_MLD_QUERY = 130,
	ICMP6_MLD_REPORT = 131,
	ICMP6_MLD_DONE = 132,
	ICMP6_ROUTER_SOLICITATION = 133,
	ICMP6_NEIGHBOUR_SOLICITATION = 135,
	ICMP6_NEIGHBOUR_ADVERTISEMENT = 136,
	ICMP6_MLD2_REPORT = 143,
};

enum {
	NDP_HOP_LIMIT = 255,	/* what a packet from the link has, and a routed one has not (RFC 4861) */
	MLD_HOP_LIMIT = 1,
};

/* Whether the address is the endpoint's own. An endpoint without an address owns none, :: included. */
static __always_inline bool ipv6_is_own(const union address *address, const struct endpoint *endpoint)
{
	if (!(endpoint->ipv6_hi_be | endpoint->ipv6_lo_be))
		return false;
	return address->hi == endpoint->ipv6_hi_be && address->lo == endpoint->ipv6_lo_be;
}

/* fe80::/10 */
static __always_inline bool ipv6_is_link_local(const union address *address)
{
	return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

/* Whether the packet asks for or tells a neighbour's MAC address. It never does so in fragments (RFC 6980). */
static __always_inline bool icmp6_is_neighbour(const struct flow *flow)
{
	return flow->family == 6 && flow->proto == PROTO_ICMP6 && !flow->fragment &&
	       flow->hop_limit == NDP_HOP_LIMIT &&
	       (flow->icmp_type == ICMP6_NEIGHBOUR_SOLICITATION || flow->icmp_type == ICMP6_NEIGHBOUR_ADVERTISEMENT);
}

/* Whether a kernel asks its link for routers, or says which groups it listens to: it does so by itself. */
static __always_inline bool icmp6_is_listener(const struct flow *flow)
{
	if (flow->family != 6 || flow->proto != PROTO_ICMP6 || flow->fragment || flow->destination.bytes[0] != 0xff ||
	    flow->destination.bytes[1] != 2)
		return false;
	if (flow->icmp_type == ICMP6_ROUTER_SOLICITATION)
		return flow->hop_limit == NDP_HOP_LIMIT;
	return flow->hop_limit == MLD_HOP_LIMIT &&
	       (flow->icmp_type == ICMP6_MLD_REPORT || flow->icmp_type == ICMP6_MLD_DONE ||
		flow->icmp_type == ICMP6_MLD2_REPORT);
}
