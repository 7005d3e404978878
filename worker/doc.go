// Package worker is the event engine: it reads change events, keeps a picture
// of the watched trees, decides what is due, and asks the helper for walks,
// stats and sync commands.
//
// Trust: untrusted. It runs without privilege in an empty root, reads hostile
// names all day, and holds nothing but its sockets and the event queue.
//
// Invariants: one goroutine (engine.run) owns all state; the others only move
// bytes between a descriptor and a channel. A path leaves a queue only when
// the target has acknowledged it. Whatever fails puts paths back. A target never
// waits for another one: they share the tree, its walks and its links, no more.
package worker
