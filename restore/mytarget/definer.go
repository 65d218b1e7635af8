package mytarget

import (
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Definer says what becomes of the account that a view, trigger, routine or event runs as.
type Definer struct {
	// strip leaves it out: who restores is the definer.
	strip bool
	// account takes its place, as `user`@`host`.
	account string
}

// ParseDefiner reads keep, strip or an account such as app@%. Its errors are of kind Usage.
func ParseDefiner(s string) (Definer, error) {
	switch s {
	case "", "keep":
		return Definer{}, nil
	case "strip":
		return Definer{strip: true}, nil
	}
	user, host := s, "%"
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		user, host = s[:i], s[i+1:]
	}
	user, host = unquote(user), unquote(host)
	if user == "" || host == "" {
		return Definer{}, stream.Fail(stream.Usage, "--definer %s: keep, strip or an account such as app@%% is needed", stream.Text(s).Display())
	}
	return Definer{account: mysession.Ident(user) + "@" + mysession.Ident(host)}, nil
}

// unquote takes the quotes off a name, where it has any.
func unquote(s string) string {
	if len(s) > 1 && s[0] == s[len(s)-1] && strings.ContainsRune("'\"`", rune(s[0])) {
		return s[1 : len(s)-1]
	}
	return s
}

// Keeps reports whether objects stay their owners'.
func (d Definer) Keeps() bool { return !d.strip && d.account == "" }

// of returns the definer that the entry's object gets, "" for the role that restores.
func (d Definer) of(e *stream.Entry) string {
	switch {
	case e.Owner == "" || d.strip:
		return ""
	case d.account != "":
		return d.account
	}
	return string(e.Owner)
}

// apply puts the definer into a statement that has one.
func (d Definer) apply(e *stream.Entry, create string) string {
	if e.Owner == "" || d.Keeps() {
		return create
	}
	return mysession.WithDefiner(create, d.of(e))
}
