package resolve

import (
	"errors"

	"lockstep/config"
	"lockstep/config/whom"
)

// handlerUser finds out who the user of a handler is.
func (r *resolver) handlerUser(s *config.Sync) {
	if s.HandlerUser == "" {
		return
	}
	ids, err := whom.Handler(s.HandlerUser, r.User)
	if bad := (config.Problem{}); errors.As(err, &bad) {
		bad.Thing = r.say("handler_user") + " " + show(s.HandlerUser)
		r.add("handler_user", bad)
	}
	s.HandlerIDs = ids
	for _, t := range s.Targets {
		if t.Missing {
			r.add("targets", problem("target "+show(t.Path), "is missing, and would be made as root's, where "+show(s.HandlerUser)+" cannot write", "make it, and give it to that user: chown"))
		}
	}
}
