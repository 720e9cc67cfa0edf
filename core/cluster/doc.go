// Package cluster is the seed's rules and nothing else: the replicated state of the
// servers and groups, and what each command makes of it.
//
// State.Apply is called by package node for every committed entry of the log, in
// order, on every server; it must therefore give the same result everywhere. It
// knows no raft, no lease, no clock: times come in the commands and are for people.
// Nothing here may range over a map, and no decision may depend on a time.
//
// Each command yields events that say who, what and why, and steps: things for one
// server to do. Whatever an operator is told is a field or an event of this package,
// so that log, console and tests tell one truth.
//
// # Plans
//
// What a group goes through is a plan: one step, which is due, and the intents behind
// it. A step goes away by its result or with its session, and by nothing else. So
// that no rule has to foresee every mixture of events, a command changes only what it
// is about, and settle draws the conclusions afterwards: wanted groups start where a
// server is online, groups that rest on a leaving server are stopped, servers on which
// nothing is left are let go, operations whose object rests have ended.
//
// # Decisions
//
// Where the seed and SPEC are silent:
//
//   - A stop is the one operation accepted while a group is in transition. It takes the
//     place of what follows the step under way; the operation it overtakes has failed.
//   - The event of a start that nobody asked for and no failure caused (cluster start,
//     a group that waited) is the seed's comparison of priorities with the server it
//     last ran on. So is that of a group whose target went away while it was being
//     stopped in order elsewhere.
//   - "priority" sends a group from its first server to the second and from there back,
//     as the seed says, until max_failovers. Where activation failed, servers without
//     an anomaly come first: of three the third is tried before the first again.
//   - A failover by an operator counts like one by anomaly, and is refused where an
//     anomaly would leave the group degraded. A move is not counted and always works.
//   - on_anomaly = "stop" stops with GROUPSTOP, and the group stays stopped like one that
//     an operator stopped; if it could not be activated it is failed instead.
//   - A cluster shutdown forgets which groups were wanted: at the next start autostart
//     decides. A cluster that has lost its last session by failures, or by shutdowns of
//     single servers, has to form again too, but starts what was wanted as well.
//   - A cluster start takes every server that arrives, except disconnected ones, and
//     forgets what they had failed with. A detached server that is merely still there
//     when the last member fails has to be returned by an operator: it would otherwise
//     take over what it was kept away from.
//   - A server that is shut down before it was returned is still detached at its next
//     boot; one that failed while it was being disconnected is still disconnected.
//   - An operation that leaves its group degraded has failed: what was asked for is there,
//     and does not work.
//   - Only a start script's exit code can be an anomaly: the seed watches scripts at
//     activation. That of a stop script or of a RECOVER run is a warning on the group,
//     which stays with it over the start that follows.
//   - A server that is down for good does not end an operation on it with an error where
//     what was asked for is reached: it is out of the cluster.
//   - What could not be released holds its group (Stuck) and its server, which cannot
//     leave in order: a start elsewhere would be a second carrier. A repeated stop or the
//     end of the session frees it.
//   - A configuration is taken over as a whole or refused as a whole. A group that is
//     new is stopped until an operator or a cluster start starts it.
package cluster
