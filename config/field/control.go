package field

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lockstep/config"
)

// ReadControlSocket takes an absolute path, or the word for none.
func ReadControlSocket(c *config.Config, v string) error {
	if v == config.NoControl {
		c.Control.Socket = v
		return nil
	}
	return Absolute(func(c *config.Config) *string { return &c.Control.Socket }).Read(c, v)
}

// ReadControlMode takes a mode that lets no stranger in.
func ReadControlMode(c *config.Config, v string) error {
	const write, others = 0o666, 0o002
	n, err := strconv.ParseUint(v, 8, 32)
	if err != nil || n&^write != 0 {
		return fmt.Errorf("%q is not the mode of a socket", v)
	}
	if n&others != 0 {
		return errors.New("every user of this host could end lockstep")
	}
	c.Control.Mode = uint32(n)
	return nil
}

// WriteControlMode writes the mode as chmod(1) reads it.
func WriteControlMode(c *config.Config) []string {
	return []string{fmt.Sprintf("%04o", c.Control.Mode)}
}

// ReadControlOwner takes USER, USER:GROUP or :GROUP; whether they are there, only
// the host knows.
func ReadControlOwner(c *config.Config, v string) error {
	user, group, both := strings.Cut(v, ":")
	ok := func(name string) bool {
		return name == "" || config.IsUser(name) || strings.Trim(name, "0123456789") == ""
	}
	if user == "" && group == "" || both && group == "" || !ok(user) || !ok(group) {
		return fmt.Errorf("%q is not an owner", v)
	}
	c.Control.Owner = v
	return nil
}

// ReadHandlerUser takes USER or USER:GROUP, by their names; who they are, only the host
// knows.
func ReadHandlerUser(c *config.Config, v string) error {
	user, group, both := strings.Cut(v, ":")
	ok := func(name string) bool {
		return config.IsUser(name) && strings.Trim(name, "0123456789") != "" && name != "root" && name != "nobody" && name != "nogroup"
	}
	if !ok(user) || both && !ok(group) {
		return fmt.Errorf("%q cannot be the user of a handler", v)
	}
	c.HandlerUser = v
	return nil
}

// ReadBackupDir takes one name of letters that mean themselves in each pattern.
func ReadBackupDir(c *config.Config, v string) error {
	const longest = 64
	if v == "" || len(v) > longest || v[0] == '-' || strings.Trim(v, ".") == "" || !config.Only(v, "._-") {
		return fmt.Errorf("%q is not one name of at most %d letters, digits and . _ -, not beginning with a dash", v, longest)
	}
	c.BackupDir = v
	return nil
}
