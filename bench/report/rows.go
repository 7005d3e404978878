package report

import "fmt"

// Row is a line of a table: a metric of all daemons.
type Row struct {
	Scenario, Metric string
	Title            string // with its unit
	Digits           int
	Plain            bool   // nothing is best: the row is not ranked
	Also             string // a scenario that a failure in counts here, too
}

// Part is a table with its rows.
type Part struct {
	Title, Text string
	Scenario    string // whose floors stand in it
	Rows        []Row
	Floors      []string
	Plot        string // the metric of Rows[0].Scenario that is drawn; "" for none
	PlotName    string
	PlotTitle   string
	LogScale    bool
}

// grouped writes 100000 as 100,000.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// parts are the tables of a run.
func parts(s Settings) []Part {
	z := func(name string) string { return grouped(s.Sizes[name]) }
	startRows := func(scenario string) []Row {
		return []Row{
			{Scenario: scenario, Metric: "watched", Title: "watched, ms"},
			{Scenario: scenario, Metric: "watched, claimed", Title: "watched, ms, as the daemon itself counts", Plain: true},
			{Scenario: scenario, Metric: "first", Title: "first probe seen, ms", Plain: true},
			{Scenario: scenario, Metric: "ready", Title: "ready, ms"},
			{Scenario: scenario, Metric: "cpu", Title: "CPU of all processes until it has settled, s", Digits: 2},
		}
	}
	startText := "The target is in step already. Each moment is from exec. Watched: the daemon says so; the C program walks and watches the tree right before each daemon does, so that both find the same in the caches. Probe files are written every 50 ms, two levels below the root, in the directory that a pass comes to last; ready: a probe is seen less than 1 s after it was written, and all before it are there."
	floors := []string{"C program", "no-op rsync -aH --delete", "no-op rsync, lockstep's options"}
	return []Part{
		{Title: "Start-up, " + z("small tree, directories") + " directories", Text: startText, Rows: startRows("small tree"), Floors: floors,
			Plot: "ready", PlotName: "startup-small", PlotTitle: "ready after exec, " + z("small tree, directories") + " directories (ms)"},
		{Title: "Start-up, " + z("large tree, directories") + " directories", Text: startText, Rows: startRows("large tree"), Floors: floors,
			Plot: "ready", PlotName: "startup-large", PlotTitle: "ready after exec, " + z("large tree, directories") + " directories (ms)"},
		memoryPart(z("large tree, directories"), z("small tree, directories")),
		latencyPart(z("small tree, directories")),
		{Title: "Burst of " + z("burst, files") + " files in " + z("burst, directories") + " new directories",
			Text: "Files of up to 4 KiB, made by one writer a core. From the end of the writing until both trees are equal, content and times to the nanosecond; where times alone differ for good (rsync compares whole seconds), until all else was. CPU is from the beginning of the writing. The floor is one `rsync -aH` of the result into an empty directory, right after each daemon's burst.",
			Rows: []Row{
				{Scenario: "burst", Metric: "converged", Title: "equal after, s", Digits: 2},
				{Scenario: "burst", Metric: "times rsync", Title: "of one rsync -aH, ×", Digits: 2},
				{Scenario: "burst", Metric: "cpu", Title: "CPU of all processes, s", Digits: 2},
				{Scenario: "burst", Metric: "cpu of rsync", Title: "of the CPU of one rsync -aH, ×", Digits: 2},
				{Scenario: "burst", Metric: "daemon cpu", Title: "CPU of the daemon alone, s", Digits: 2},
				{Scenario: "burst", Metric: "lost", Title: "entries lost: missing, or not what they should be", Plain: true},
				{Scenario: "burst", Metric: "times", Title: "entries whose time differs for good", Plain: true},
			}, Floors: []string{"rsync -aH"}, Plot: "converged", PlotName: "burst", PlotTitle: "burst of " + z("burst, files") + " files: equal after (s)"},
		steadyPart(z("steady, changes a second"), z("steady, seconds"), z("steady, files")),
		{Title: "Overflow: the burst with fs.inotify.max_queued_events=" + fmt.Sprint(s.Sizes["overflow, max_queued_events"]),
			Text: "Into directories that are there and in step already, so that nothing but the events tells of the files.",
			Rows: []Row{
				{Scenario: "overflow", Metric: "lost", Title: "entries lost: missing, or not what they should be"},
				{Scenario: "overflow", Metric: "times", Title: "entries whose time differs for good", Plain: true},
				{Scenario: "overflow", Metric: "converged", Title: "equal after, s", Digits: 2},
				{Scenario: "overflow", Metric: "cpu", Title: "CPU of all processes, s", Digits: 2},
			}, Plot: "lost", PlotName: "overflow", PlotTitle: "overflow: entries lost"},
		{Title: "Idle on " + z("large tree, directories") + " directories, per minute",
			Text: "All daemons side by side on one tree in which nothing changes; the repetitions are stretches of " + z("idle, seconds") + " s, one after the other, and begin when that long nothing has happened.",
			Rows: []Row{
				{Scenario: "idle", Metric: "switches", Title: "voluntary context switches of the process with most", Digits: 1},
				{Scenario: "idle", Metric: "switches of all", Title: "of all processes", Digits: 1},
				{Scenario: "idle", Metric: "cpu", Title: "CPU, ms", Digits: 2},
			}, Plot: "switches of all", PlotName: "idle", PlotTitle: "idle: voluntary context switches a minute, all processes"},
	}
}

func memoryPart(large, small string) Part {
	return Part{Title: "Memory, " + large + " directories with one file each",
		Text: "Of all processes, after they have settled. User space: the growth over an empty tree. Kernel: the growth of SUnreclaim in /proc/meminfo over the time before the start, so noisy; the inodes that watches hold in memory are not in it, since they were cached before.",
		Rows: []Row{
			{Scenario: "memory", Metric: "user rss", Title: "user space, RSS, bytes per directory", Also: "large tree"},
			{Scenario: "memory", Metric: "user pss", Title: "user space, PSS, bytes per directory", Also: "large tree"},
			{Scenario: "large tree", Metric: "kernel", Title: "kernel, bytes per directory", Plain: true},
			{Scenario: "empty tree", Metric: "rss", Title: "RSS, empty tree, MiB", Digits: 1},
			{Scenario: "small tree", Metric: "rss", Title: "RSS, " + small + " directories, MiB", Digits: 1},
			{Scenario: "large tree", Metric: "rss", Title: "RSS, " + large + " directories, MiB", Digits: 1},
			{Scenario: "empty tree", Metric: "pss", Title: "PSS, empty tree, MiB", Digits: 1},
			{Scenario: "large tree", Metric: "pss", Title: "PSS, " + large + " directories, MiB", Digits: 1},
		}, Plot: "user rss", PlotName: "memory", PlotTitle: "user-space memory per directory (bytes, RSS over that of an empty tree)"}
}

func latencyPart(small string) Part {
	p := Part{Title: "Latency of one file on an idle tree of " + small + " directories",
		Text: "From the return of the system call until it is seen on the target by inotify, at least 150 ms of silence before each. A spread is that of the repetitions' medians.",
		Rows: []Row{
			{Scenario: "latency", Metric: "p50", Title: "all four kinds, p50, ms", Digits: 1},
			{Scenario: "latency", Metric: "p90", Title: "p90, ms", Digits: 1},
			{Scenario: "latency", Metric: "max", Title: "max, ms", Digits: 1},
		}, Plot: "p50", PlotName: "latency", PlotTitle: "one file on an idle tree: p50 until seen on the target (ms)", LogScale: true}
	for _, op := range []string{"create", "modify", "rename", "delete"} {
		for _, q := range []string{"p50", "p90", "max"} {
			p.Rows = append(p.Rows, Row{Scenario: "latency", Metric: op + " " + q, Title: op + ", " + q + ", ms", Digits: 1, Plain: q != "p50"})
		}
	}
	return p
}

func steadyPart(rate, secs, files string) Part {
	return Part{Title: "Steady " + rate + " changes a second for " + secs + " s",
		Text: "Appends, rewrites, new files, renames and deletes over " + files + " files. Daemon: its long-lived processes; all: with the commands they start. Lag: of a marker file every 100 ms until it is seen on the target.",
		Rows: []Row{
			{Scenario: "steady", Metric: "daemon", Title: "CPU of the daemon, % of a core", Digits: 1},
			{Scenario: "steady", Metric: "all", Title: "CPU of all processes, % of a core", Digits: 1},
			{Scenario: "steady", Metric: "lag p50", Title: "lag, p50, ms"},
			{Scenario: "steady", Metric: "lag max", Title: "lag, max, ms"},
			{Scenario: "steady", Metric: "different after 1 s", Title: "entries that differ 1 s after the end", Plain: true},
			{Scenario: "steady", Metric: "lost", Title: "entries lost: missing, or not what they should be", Plain: true},
			{Scenario: "steady", Metric: "times", Title: "entries whose time differs for good", Plain: true},
			{Scenario: "steady", Metric: "settled", Title: "equal after, s", Digits: 2},
			{Scenario: "steady", Metric: "rate", Title: "changes a second that were made", Plain: true},
		}, Plot: "daemon", PlotName: "steady", PlotTitle: "steady " + rate + " changes/s: CPU of the daemon (% of a core)"}
}

// Ratio compares lockstep's number with another one of the same repetition, or
// with a budget alone.
type Ratio struct {
	Title  string
	A, B   Key // B is empty: A itself
	Limit  float64
	Digits int
	Marks  string // the scenario whose marks spoil it
}

// ratios are those that a budget is for. An empty Daemon stands for each of the
// daemons.
func ratios() []Ratio {
	return []Ratio{
		{"large tree watched / the C program", Key{"large tree", "", "watched of floor"}, Key{}, 1.5, 2, "large tree"},
		{"the same, as the daemon itself counts", Key{"large tree", "", "claimed of floor"}, Key{}, 0, 2, "large tree"},
		{"small tree watched / the C program", Key{"small tree", "", "watched of floor"}, Key{}, 0, 2, "small tree"},
		{"large tree ready / no-op rsync -aH --delete", Key{"large tree", "", "ready"}, Key{"large tree", "no-op rsync -aH --delete", "ready"}, 0, 2, "large tree"},
		{"large tree ready / no-op rsync, lockstep's options", Key{"large tree", "", "ready"}, Key{"large tree", "no-op rsync, lockstep's options", "ready"}, 1.05, 2, "large tree"},
		{"latency of one file, p50, ms", Key{"latency", "", "p50"}, Key{}, 10, 1, "latency"},
		{"burst / one rsync -aH", Key{"burst", "", "times rsync"}, Key{}, 1.3, 2, "burst"},
		{"burst, CPU / CPU of one rsync -aH", Key{"burst", "", "cpu of rsync"}, Key{}, 0, 2, "burst"},
		{"steady: CPU of the daemon, % of a core", Key{"steady", "", "daemon"}, Key{}, 10, 1, "steady"},
		{"steady: lag, max, ms", Key{"steady", "", "lag max"}, Key{}, 1000, 0, "steady"},
		{"steady: entries lost", Key{"steady", "", "lost"}, Key{}, 0, 0, ""},
		{"steady: entries whose time differs for good", Key{"steady", "", "times"}, Key{}, 0, 0, ""},
		{"burst: entries lost", Key{"burst", "", "lost"}, Key{}, 0, 0, ""},
		{"overflow: entries lost", Key{"overflow", "", "lost"}, Key{}, 0, 0, ""},
		{"user space, RSS, bytes per directory", Key{"memory", "", "user rss"}, Key{}, 120, 0, "large tree"},
		{"idle: switches a minute, the process with most", Key{"idle", "", "switches"}, Key{}, 3, 1, "idle"},
	}
}

// separation compares lockstep with the same engine in one process.
func separation() []Ratio {
	pair := func(title, scenario, metric string, limit float64) Ratio {
		return Ratio{title, Key{scenario, "lockstep", metric}, Key{scenario, "lockstep-unsplit", metric}, limit, 2, scenario}
	}
	return []Ratio{
		pair("burst: CPU of the daemon", "burst", "daemon cpu", 1.5),
		pair("burst: CPU of all processes", "burst", "cpu", 0),
		pair("burst: equal after", "burst", "converged", 0),
		pair("latency, p50", "latency", "p50", 1.5),
		pair("large tree: watched", "large tree", "watched", 1.5),
		pair("large tree: ready", "large tree", "ready", 1.5),
		pair("large tree: CPU of all processes until it has settled", "large tree", "cpu", 0),
		pair("small tree: ready", "small tree", "ready", 0),
		pair("large tree: RSS", "large tree", "rss", 0),
	}
}
