package main

// int80 makes a call by i386's door, where numbers mean other calls.
func int80(nr uintptr) uintptr
