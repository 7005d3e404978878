//go:build !amd64

package redteam

// oldFiles are amd64's alone.
func oldFiles() []Act { return nil }
