/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Ethernet header. */
#pragma once

#include "abi/drop_reason.h"
#include "bpf/ctx.h"
#include "bpf/endian.h"

enum {
	ETH_HEADER_LEN = 14,
};

enum {
	ETH_IPV4 = 0x0800,
	ETH_ARP = 0x0806,
	ETH_IPV6 = 0x86dd,
	ETH_VLAN = 0x8100,
	ETH_VLAN_OUTER = 0x88a8,
};

struct eth_header {
	u8 destination[6];
	u8 source[6];
	be16 protocol_be;
};

_Static_assert(sizeof(struct eth_header) == ETH_HEADER_LEN, "struct eth_header");

/*
 * L3 protocol of the frame in host order, or DROP_*. A VLAN tag is refused, wherever it stands. The frame's source address
 * stands in the lower six bytes of @source, the first one lowest; what stands above it means nothing.
 */
static __always_inline int eth_protocol(struct __sk_buff *ctx, u64 *source)
{
	const u64 *tail;
	int protocol;
	u64 copy;

	if (ctx->vlan_present)
		return DROP_VLAN_FILTERED;
	/* One read for both. With the two bytes in front of it that a network driver leaves the header is aligned to this. */
	tail = ctx_read(ctx, __builtin_offsetof(struct eth_header, source), sizeof(copy), &copy);
	if (!tail)
		return DROP_INVALID_PACKET;
	*source = *tail;
	protocol = ntohs((be16)(*tail >> 48));
	return protocol == ETH_VLAN || protocol == ETH_VLAN_OUTER ? DROP_VLAN_FILTERED : protocol;
}

/* A MAC address as a number, the first byte lowest. */
static __always_inline u64 eth_mac(const u8 *bytes)
{
	u64 mac = 0;

	__builtin_memcpy(&mac, bytes, 6);
	return mac;
}
