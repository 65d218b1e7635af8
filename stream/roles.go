package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// keyRoles is the object with the roles, where the dump was told to keep them.
const keyRoles = "pgmove/roles.json"

// Role is a role of the source's server, without its password. It is data and no SQL: who creates it writes the statements.
type Role struct {
	Name        Text   `json:"name"`
	Login       bool   `json:"login,omitempty"`
	Inherit     bool   `json:"inherit,omitempty"`
	CreateRole  bool   `json:"create_role,omitempty"`
	CreateDB    bool   `json:"create_db,omitempty"`
	Superuser   bool   `json:"superuser,omitempty"`
	Replication bool   `json:"replication,omitempty"`
	BypassRLS   bool   `json:"bypass_rls,omitempty"`
	Limit       int    `json:"limit"`                 // of connections, -1 for none
	ValidUntil  string `json:"valid_until,omitempty"` // of its password
	Comment     Text   `json:"comment,omitempty"`
	// Settings are those of the role in all databases; those in one database are entries.
	Settings []RoleSetting `json:"settings,omitempty"`
	MemberOf []Membership  `json:"member_of,omitempty"`
}

// RoleSetting is what a role's sessions begin with. Lists such as search_path have several values.
type RoleSetting struct {
	Name   string `json:"name"`
	Values []Text `json:"values"`
}

// Membership says which role a role is a member of. Inherit and Set are nil where the source knows no such options.
type Membership struct {
	Role    Text  `json:"role"`
	Admin   bool  `json:"admin,omitempty"`
	Inherit *bool `json:"inherit,omitempty"`
	Set     *bool `json:"set,omitempty"`
}

// ReservedRole reports whether every server, or a managed one, has such a role of its own.
func ReservedRole(name Text) bool {
	return strings.HasPrefix(string(name), "pg_") || strings.HasPrefix(string(name), "rds")
}

// SetRoles has the Writer keep roles beside the entries. It comes before Begin.
func (w *Writer) SetRoles(roles []Role) { w.roles = roles }

// Roles returns the roles of the archive, after Header. An archive without them is a Failure of kind Preflight.
func (r *Reader) Roles(ctx context.Context) ([]Role, error) {
	if r.foreign != nil || !r.header.Roles {
		return nil, (&Failure{Kind: Preflight, Object: r.location, Msg: "the archive holds no roles"}).
			WithHint("dump with --roles missing, or create the roles by hand and restore without --roles")
	}
	_, b, err := r.body(ctx, keyRoles, maxRecord)
	if err != nil {
		return nil, err
	}
	var roles []Role
	if err := decode(b, &roles); err != nil {
		return nil, r.broken(keyRoles, err)
	}
	if err := checkRoles(roles); err != nil {
		return nil, r.broken(keyRoles, err)
	}
	return roles, nil
}

// checkRoles checks what may have come from anywhere.
func checkRoles(roles []Role) error {
	seen := map[Text]bool{}
	for i := range roles {
		r := &roles[i]
		if r.Name == "" || len(r.Name) > maxName || seen[r.Name] {
			return fmt.Errorf("role %q: its name is empty, too long or there twice", r.Name.Display())
		}
		seen[r.Name] = true
		texts := []Text{r.Name, Text(r.ValidUntil), r.Comment}
		for _, m := range r.MemberOf {
			if m.Role == "" || len(m.Role) > maxName {
				return errors.New("a membership in a role without a name, or with one that is too long")
			}
			texts = append(texts, m.Role)
		}
		for _, s := range r.Settings {
			if !settingName(s.Name) || len(s.Values) == 0 {
				return fmt.Errorf("role %s: %q is no setting", r.Name.Display(), Text(s.Name).Display())
			}
			texts = append(texts, s.Values...)
		}
		for _, t := range texts {
			if strings.Contains(string(t), "\x00") {
				return fmt.Errorf("role %s: a text with a NUL", r.Name.Display())
			}
		}
	}
	return nil
}

// maxName is the length of the longest name that any build of PostgreSQL is known to take, in bytes.
const maxName = 255

// settingName reports whether a name can be a setting's: letters, digits and underscores, in parts with dots between.
func settingName(s string) bool {
	for _, part := range strings.Split(s, ".") {
		if part == "" || part[0] >= '0' && part[0] <= '9' {
			return false
		}
		for _, c := range []byte(part) {
			if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}
