package escape

// Row is what is known of one act in one jail.
type Row struct {
	Act string
	// Confined is how it ends as the product is: "" is death by the filter, with the
	// kernel's record of the call.
	Confined string
	// Off is how it ends with the system-call filter left out.
	Off string
	// Shown is how it ends, with that filter, in a jail that shows the host's files
	// as well: for what the filter lets through, the second layer.
	Shown string
	// By is what refuses it there, or, where nothing does, why one layer is enough.
	// "" is what the role's errors mean.
	By string
}

// Role is one program and all that was tried in it.
type Role struct {
	Name    string
	Title   string
	Answers map[string]string // what refuses, by the error with which it does
	Rows    []Row
	Least   int // acts that have to be seen to succeed unconfined
}

// Killed is the word for death by the filter.
const Killed = "SIGSYS"

// want is how the act has to end as the product is.
func (r Row) want() string {
	if r.Confined == "" {
		return Killed
	}
	return r.Confined
}

// escapes says that nothing but the first layer refuses the act.
func (r Row) escapes() bool {
	last := r.Off
	if r.Shown != "" {
		last = r.Shown
	}
	return last == "ok" || last == "executed"
}

// Roles are all of them.
func Roles() []Role { return []Role{Worker()} }
