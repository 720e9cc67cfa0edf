// Package core is the thinking of baton: pure, deterministic, without a clock, a
// socket, a disk, a goroutine or a dependence on the order of maps. Everything in it
// is a function from inputs to outputs; package daemon is the hands that carry them
// out, and core/sim plays the same inputs in virtual time.
//
// The rooms:
//
//   - cluster: the replicated state of servers and groups, and the rules that change it
//   - epoch: who may decide
//   - lease: who may run, and until when
//   - node: one server's logic, the owner of the three above
//   - sim: whole clusters of nodes in virtual time, with faults and invariants
//
// The protocol and its argument are in README.md beside this file.
package core
