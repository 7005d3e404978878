package host

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"lockstep/internal/memfd"
)

// Programs are sealed and asked for their build while descriptors come and go
// beside them. (Asked by the image's own number, one in 16,000 failed.)
func TestBuildIDBesideOthers(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if err := sealAndAsk(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func sealAndAsk() error {
	echo, err := os.Open("/bin/echo")
	if err != nil {
		return err
	}
	image, err := memfd.Image("echo", echo)
	if err := errors.Join(err, echo.Close()); err != nil {
		return err
	}
	id, err := buildID(image)
	if err == nil && id != "build-id" {
		err = fmt.Errorf("it is %q", id)
	}
	return errors.Join(err, image.Close())
}
