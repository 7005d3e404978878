// Package signals knows which signals can be given a meaning.
//
// Trust: linked into the supervisor; pure.
package signals

// Meaning is what a signal is for already, or why nobody can hear it; "" if it is free.
func Meaning(number int) string {
	switch number {
	case 1:
		return "(HUP) reads all files anew"
	case 2, 3, 15:
		return "(INT, QUIT, TERM) ends lockstep"
	case 10:
		return "(USR1) writes the state to the log"
	case 12:
		return "(USR2) starts a whole pass"
	case 4, 5, 6, 7, 8, 11, 16, 31:
		return "tells a program of its own faults, and ends it"
	case 9, 19:
		return "(KILL, STOP) cannot be heard"
	case 13:
		return "(PIPE) tells that nobody reads what is written"
	case 17:
		return "(CHLD) tells of the end of a process"
	case 18, 20, 21, 22:
		return "(CONT, TSTP, TTIN, TTOU) is a shell's, to stop and continue jobs"
	case 23, 27:
		return "(URG, PROF) is used by the program's own runtime"
	case 32, 33, 34:
		return "is the C library's own, and cannot be heard"
	}
	return ""
}
