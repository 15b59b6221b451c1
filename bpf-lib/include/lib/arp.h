/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ARP, which carries no policy but a sender that must not lie. */
#pragma once

#include "abi/drop_reason.h"
#include "lib/endpoint.h"
#include "lib/ethernet.h"

/* The packet as an endpoint with an Ethernet interface and an IPv4 address sends it. */
struct arp_packet {
	be16 hardware_be;
	be16 protocol_be;
	u8 hardware_len;
	u8 protocol_len;
	be16 operation_be;
	u8 sender_mac[6];
	u8 sender_ip[4];
	u8 target_mac[6];
	u8 target_ip[4];
};

_Static_assert(sizeof(struct arp_packet) == 28, "struct arp_packet");

/* Whether the endpoint speaks for itself: its own address, or none yet (a probe). */
static __always_inline int arp_check_sender(struct __sk_buff *ctx, const struct endpoint *endpoint)
{
	struct arp_packet arp;
	be32 sender;

	if (skb_load_bytes(ctx, ETH_HEADER_LEN, &arp, sizeof(arp)))
		return DROP_INVALID_PACKET;
	if (arp.protocol_be != htons(ETH_IPV4) || arp.hardware_len != 6 || arp.protocol_len != 4)
		return DROP_INVALID_PACKET;
	__builtin_memcpy(&sender, arp.sender_ip, sizeof(sender));
	if (sender && sender != endpoint->ipv4_be)
		return DROP_INVALID_SOURCE_IP;
	return CTX_ACT_OK;
}
