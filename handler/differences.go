package handler

// Difference is something that clsync 0.4.5 hands over in another way, and why
// this package does not.
type Difference struct {
	Name string
	Was  string // what clsync does
	Is   string
	Why  string
}

// Differences is all of them: each is met in a recording of clsync, and what is
// recorded differs from what this package makes in nothing else.
func Differences() []Difference {
	return []Difference{
		{"escaping", `rsync's lists: a backslash before each of [ ] * ? \`,
			`before each of [ * ? \, and only where the line has one of [ * ?`,
			`rsync takes a backslash in a line without a wildcard as it is, so that names with a backslash or a closing bracket were never copied`},
		{"excludes", "rsync's lists: when a batch is divided, the first part alone has the excludes",
			"every part has them",
			"what was rejected was copied by a later part"},
		{"parts", "a batch is divided in the order of a hash",
			"in the order of the paths",
			"the same batch always gives the same calls; what is in one directory goes together"},
		{"root", "a rejected root makes an exclude list with an empty line",
			"one with /**",
			"the empty line says nothing: all was copied"},
		{"dash", "mode direct: a name that begins with a dash is a word as it is",
			"./ stands before it",
			"the handler took it for an option"},
		{"macros", "macros and per cent signs in names, and in what other macros became, are expanded (a name with %% ends clsync)",
			"neither is ever looked into",
			"another file was named, or none"},
		{"newline", "a new file whose name has a newline is dropped in silence; an exclude list has two lines for it, of which the second excludes that name everywhere",
			"a word has the name as it is, a line of rsync's a class for the byte; mode shell reports the path",
			"no change may be lost in silence"},
		{"return", "rsync's lists: a carriage return is written as it is",
			"as a class, like a newline",
			"rsync ends a line there"},
		{"percent", "arguments: a per cent sign without a second one is dropped with the rest of the word; %% ends clsync",
			"it is left as it is; %% is a per cent sign",
			"100% is a word too"},
	}
}
