package compile

import (
	"strings"

	"lockstep/clsync/options"
	"lockstep/clsync/transfer"
	"lockstep/config"
	"lockstep/internal/escape"
)

// words reads the words for rsync.
func (c *compiler) words() {
	if c.o.Mode == options.RsyncShell && !c.o.OwnArguments {
		c.fail("mode", "mode rsyncshell calls its handler as HANDLER rsynclist …, which no rsync understands",
			"use mode rsyncdirect, or name a handler that is a program of its own")
		return
	}
	asked, faults := transfer.Read(c.o.Arguments, c.o.WatchDir, c.o.DestinationDir != "", c.read)
	for _, f := range faults {
		c.fail("--", f.Reason, f.Advice)
	}
	c.asked = asked
	if !asked.HardLinks {
		c.remark("hard links are kept too (-H)")
	}
	for _, file := range asked.Copied {
		c.remark("--exclude-from: the patterns of " + escape.Name(file) + " as they are now")
	}
	if asked.Late {
		c.warn("--", "--exclude behind %RSYNC-ARGS% leaves out what it matches; for clsync it had no effect, behind lists that named all", "take it out if that is not meant")
	}
	if len(asked.Mute) > 0 {
		c.warn("--", "--"+strings.Join(asked.Mute, " --")+" has no effect here: lockstep's log tells what was done, and nothing that rsync shows", "take it out")
	}
}

// remote are the keys of a target on another host.
func (c *compiler) remote() {
	r := c.asked
	switch kind := c.target.Kind; {
	case kind == config.SSHTarget && (r.SSH.Identity == "" || r.SSH.KnownHosts == ""):
		c.fail("destination-dir", escape.Name(c.target.Spec)+" is reached by ssh, and no key or no file of host keys is named; no other is tried", transfer.AdviseSSH)
	case kind == config.SSHTarget:
		for _, one := range []string{r.SSH.Identity, r.SSH.KnownHosts} {
			if one[0] != '/' {
				c.fail("--", escape.Name("-e ssh: "+one)+" is not an absolute path", transfer.AdviseSSH)
			}
		}
		value := "{ identity = " + c.quote("--", r.SSH.Identity) + ", known_hosts = " + c.quote("--", r.SSH.KnownHosts)
		if r.SSH.Port != "" {
			if _, err := config.ParsePort(r.SSH.Port); err != nil {
				c.fail("--", escape.Name("-e ssh -p "+r.SSH.Port)+" is no port", "write a number from 1 to 65535")
				return
			}
			value += ", port = " + strings.TrimLeft(r.SSH.Port, "0")
		}
		c.put("ssh", value+" }", "no other key, agent or configuration is used, and a host whose key is not in the file is refused")
	case r.SSH.Given:
		c.fail("--", "-e has no sense: the target is not reached by ssh", "take it out")
	}
	switch kind := c.target.Kind; {
	case r.Password == "":
	case kind != config.Daemon:
		c.fail("--", "--password-file has no sense: the target is not an rsync daemon's", "take it out")
	case r.Password[0] != '/':
		c.fail("--", escape.Name("--password-file="+r.Password)+" is not an absolute path", "write the whole path")
	default:
		c.put("password_file", c.quote("--", r.Password))
	}
}
