package keys

import (
	"strings"

	"lockstep/config"
	"lockstep/config/field"
)

func auditKeys() []Key {
	return []Key{
		{Name: "audit", Group: GroupAudit, Scope: ScopeService, Unit: strings.Join(field.Audits(), "|"), Default: config.AuditOff, Advice: "use " + either(field.Audits()),
			Help: "keep a trail of every privileged action and decision (docs/trail.md): strict begins no command while it cannot be written; best-effort counts what is not in it", field: field.OneOf(field.Audits(), func(c *config.Config) *string { return &c.Audit.Mode })},
		{Name: "audit_dir", Group: GroupAudit, Scope: ScopeService, Unit: "DIR", Advice: "name a directory by its absolute path",
			Help: "where its files are (default: audit in the state directory); two lockstep that run at a time need two", field: field.Absolute(func(c *config.Config) *string { return &c.Audit.Dir })},
		{Name: "audit_size", Group: GroupAudit, Scope: ScopeService, Unit: "SIZE", Default: "64MiB", Advice: adviceSize,
			Help: "the size above which the next file begins; none is ever removed", field: field.Size(func(c *config.Config) *uint64 { return &c.Audit.Size })},
		{Name: "audit_to", Group: GroupAudit, Scope: ScopeService, Unit: strings.Join(field.AuditPlaces(), "|"), Default: config.AuditNowhere, Advice: "use " + either(field.AuditPlaces()),
			Help: "where records go as well, from where they cannot be taken back: the log daemon of this host by /dev/log, its journal with fields, or the audit subsystem of the kernel", field: field.OneOf(field.AuditPlaces(), func(c *config.Config) *string { return &c.Audit.To })},
	}
}
