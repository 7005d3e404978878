package compile

// messages are where they go, and which there are.
func (c *compiler) messages() {
	o := c.o
	switch o.Output {
	case "syslog":
		c.service = append(c.service, entry{key: "log_to", value: quoted("syslog")})
	case "stdout":
		c.warn("output", "messages go to the standard error; the standard output is for what a command was asked for", "write 2>&1 to have them there")
	}
	const always = "errors are logged in any case"
	switch {
	case o.Quiet > 0:
		c.service = append(c.service, entry{key: "log_level", value: quoted("error"), remarks: []string{"--quiet: " + always}})
	case o.Verbose < 2:
		c.service = append(c.service, entry{key: "log_level", value: quoted("error"), remarks: []string{"--verbose: " + always}})
	case o.Verbose == 2:
		c.service = append(c.service, entry{key: "log_level", value: quoted("warn")})
	}
}
