package escape

// Check is one line of the list of checks by which the suite is built, and where it
// is seen to.
type Check struct {
	Numbers string
	What    string
	Tests   []string // none: it is not done
	Missing string   // what of it is not done
}

// Checks are those on code in the worker (1–30), in the helper (49, 50), and in what
// copies (73–84).
func Checks() []Check {
	return []Check{
		{"1", "who attacks nothing lives", []string{"TestBenign", "TestUnderUnit"}, "ten minutes of load; it is seconds here, and the hours of the other suites"},
		{"2, 4", "every number of a call, those of x32 and odd ones", []string{"TestWorkerNumbers", "TestNumbers"}, "runners: their tables are compared number by number in a simulation (TestFilterEqualsTable). uretprobe and uprobe (335 and 336 on amd64) come before filters on newer kernels: seen to end the program, or to do nothing"},
		{"3", "calls by i386's door", []string{"TestWorkerForeign", "TestForeignDoors", "TestX32AndForeign"}, ""},
		{"5–7, 9–20", "files, programs, processes, memory, sockets, name spaces, the kernel, the machine, devices, ids, filters, other processes, signals, limits", []string{"TestWorkerEscapes"}, "quotactl, migrate_pages and move_pages have no act of their own: their numbers are in 2"},
		{"8", "clone with each other flag", []string{"TestWorkerClones"}, ""},
		{"21", "repeated deaths by the filter lock a sync out", []string{"TestLockOut", "TestSigsysLocksOut"}, ""},
		{"22", "ids, capabilities, no_new_privs and filter of each thread", []string{"TestEveryThreadIsConfined", "TestWorkerHasItsOwnIDs"}, ""},
		{"23", "mounts, network, pid namespace", []string{"TestMountsOfTheJails", "TestNoNetwork"}, ""},
		{"24", "limits read back", []string{"TestAuditAsDeclared"}, ""},
		{"25", "descriptors", []string{"TestDescriptors"}, ""},
		{"26, 27", "memory and threads without end", []string{"TestWorkerExhausts"}, "that the supervisor goes on is seen where it is killed at random (TestKillOneSyncsWorker)"},
		{"28", "a worker that spins and does not read", nil, "nobody ends it: it holds up its own sync alone (TestOneSyncHeldOthersGoOn)"},
		{"29", "filter against table, call by call", []string{"TestFilterEqualsTable"}, "random arguments go to a simulation of the kernel's machine, not to the kernel"},
		{"30", "each rule of the tables is needed", []string{"TestEachRuleIsNeeded", "TestEachCallIsNeeded", "TestHelperNeedsEachRule", "TestEachNetworkRuleIsNeeded"}, "what handlers have beside a runner, which is for programs that nobody knows"},
		{"49", "the helper's own list", []string{"TestHelperEscapes"}, ""},
		{"50", "the helper's capabilities", []string{"TestCapabilities", "TestEveryThreadIsConfined"}, ""},
		{"66, 67, 73, 75", "the jail of rsync", []string{"TestRunnerEscapes", "TestCommandIsConfined", "TestOnlyProgramAndLoaderAreExecutable", "TestRaceNeverLeaks"}, "58 of the list is a race: the latter"},
		{"75, 83", "the jail of rsync and ssh; ssh's words", []string{"TestRemoteEscapes", "TestRemoteCommandIsConfined", "TestSSHHoldsNothing", "TestSSHOptions", "TestRemoteIgnoresUsersConfig"}, ""},
		{"74, 76, 78", "arguments, environment, descriptors of the command", []string{"TestEnvironmentAndDirectory", "TestDescriptors"}, ""},
		{"77", "what the supervisor's environment may hold", nil, "each variable of the list by itself: commands get an environment that is made from nothing (TestEnvironmentAndDirectory)"},
		{"79–82", "a peer that lies, stalls, floods or ends in all ways", []string{"TestStalledPeerEnds", "TestOutputIsBounded", "TestRealFaults", "TestSSHRefuses", "TestTwentyFaults"}, "79: rsync sends only, so that it reads no list of files, no filter and no attribute of a peer's"},
		{"84", "a program that is exchanged", []string{"TestInspectRsync", "TestUpgradeWhileRunning"}, ""},
		{"–", "handlers, modules, resolvers, gate", []string{"TestHandlerEscapes", "TestNetworkEscapes", "TestModuleEscapes", "TestModuleIsConfined", "TestResolverEscapes", "TestDnotifyEscapes", "TestGateEscapes"}, ""},
	}
}
