package compile

import "slices"

// signature is which changes count. A handler is told of no others. lockstep's own
// rsync compares what is there, owner, mode and times in any case: so that fields among
// which are those by which content is known ask it to copy no content that is there
// already. Others ask for a target that differs.
func (c *compiler) signature() {
	const name = "modification-signature"
	o := c.o
	switch {
	case len(o.Signature) == 0:
	case choosesChanges(o):
		c.put("handler_changes", c.list(name, o.Signature), "a change of anything else is not told; what went is forgotten, and told when it comes again")
	case byHandler(o):
		c.fail(name, "chooses what is told, and rsync's lists have what is below a directory as well", "take it out: all changes are followed; a handler of mode simple, direct, shell or so can have it")
	case !slices.Contains(o.Signature, "size") || !slices.Contains(o.Signature, "mtime"):
		c.fail(name, "has new content not copied where size and mtime are not both among the fields, so that the target would differ", `name both, or "*"; or take it out: all changes are followed`)
	default:
		c.put("skip_equal", "true", "--modification-signature: nothing is remembered: a file of which an event tells is compared with the target's, by content, owner, mode and times, and left alone where both are the same",
			"two that face each other come to rest so, and still each takes its own source for right: what changes again before its copy has come back is lost (docs/from-clsync.md)")
	}
}
