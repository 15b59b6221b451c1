/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a packet was dropped: Cilium's numbers, ours from 210 on. Mirror: src/drop_reason.rs. */
#pragma once

enum {
	DROP_INVALID_SOURCE_IP = -132,
	DROP_POLICY_DENIED = -133,	/* no rule allows it */
	DROP_INVALID_PACKET = -134,
	DROP_CT_UNKNOWN_PROTO = -137,	/* L4 protocol that policy does not know */
	DROP_UNKNOWN_L3 = -139,
	DROP_MISSED_TAIL_CALL = -140,	/* the endpoint's other program cannot be asked now */
	DROP_CT_MAP_INSERT_FAILED = -155,
	DROP_INVALID_EXTHDR = -156,
	DROP_FRAG_NOT_FOUND = -175,	/* the first fragment did not come by */
	DROP_NO_PROXY = -178,
	DROP_POLICY_DENY = -181,	/* a rule denies it */
	DROP_VLAN_FILTERED = -182,
	DROP_AUTH_REQUIRED = -189,
	DROP_EP_NOT_READY = -203,	/* the packet came for an endpoint that the program does not have */
};
