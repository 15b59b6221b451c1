/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all endpoints of a cluster share: every define that the generated node_config.h must hold. */
#pragma once

#include "node_config.h"

#ifndef ENABLE_IPV4	/* 0 or 1: IPv4 and ARP are handled, else dropped as unknown */
# error "node_config.h must define ENABLE_IPV4"
#endif

#ifndef ENABLE_IPV6	/* 0 or 1: IPv6 is handled, else dropped as unknown */
# error "node_config.h must define ENABLE_IPV6"
#endif

#ifndef ENABLE_SCTP	/* 0 or 1: SCTP is an L4 protocol that policy knows */
# error "node_config.h must define ENABLE_SCTP"
#endif

#ifndef ALLOW_ICMP_FRAG_NEEDED	/* 0 or 1: ICMP type 3 code 4 passes without policy */
# error "node_config.h must define ALLOW_ICMP_FRAG_NEEDED"
#endif

#ifndef CT_ENTRIES_MAX	/* u32: entries of `conntrack4` and of `conntrack6` */
# error "node_config.h must define CT_ENTRIES_MAX"
#endif

#ifndef CT_TCP_TIMEOUT_SECS	/* u32: life of an established TCP connection behind its last packet */
# error "node_config.h must define CT_TCP_TIMEOUT_SECS"
#endif

#ifndef CT_TCP_SYN_TIMEOUT_SECS	/* u32: life of a TCP connection that nobody went on with */
# error "node_config.h must define CT_TCP_SYN_TIMEOUT_SECS"
#endif

#ifndef CT_TCP_FIN_TIMEOUT_SECS	/* u32: life of a TCP connection that both sides closed */
# error "node_config.h must define CT_TCP_FIN_TIMEOUT_SECS"
#endif

#ifndef CT_ANY_TIMEOUT_SECS	/* u32: life of any other flow behind its last packet */
# error "node_config.h must define CT_ANY_TIMEOUT_SECS"
#endif

#ifndef MONITOR_AGGREGATION	/* 0-4: which packets that pass are reported, MONITOR_AGGREGATION_* and what is between */
# error "node_config.h must define MONITOR_AGGREGATION"
#endif

#define MONITOR_AGGREGATION_NONE 0	/* each at every point */
#define MONITOR_AGGREGATION_RX 1	/* each once */
#define MONITOR_AGGREGATION_ACTIVE_CT 3	/* of a connection those that tell something new, and one in an interval */

#ifndef MONITOR_INTERVAL_SECS	/* 1-3600: that interval */
# error "node_config.h must define MONITOR_INTERVAL_SECS"
#endif

#ifndef MONITOR_TCP_FLAGS	/* u8: TCP flags that are something new when they are first seen */
# error "node_config.h must define MONITOR_TCP_FLAGS"
#endif

#if !ENABLE_IPV4 && !ENABLE_IPV6
# error "node_config.h must enable IPv4, IPv6 or both"
#endif
