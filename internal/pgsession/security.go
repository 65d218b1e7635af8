package pgsession

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/transit"
)

// Security says how a connection is protected on its way.
type Security = transit.Security

// Security returns how connections are protected.
func (c *Conn) Security() Security {
	s := Security{Mode: mode(c.config), Local: transit.Local(c.config.Host)}
	for _, f := range c.config.Fallbacks {
		s.Local = s.Local && transit.Local(f.Host)
	}
	if p := c.seen.Load(); p != nil {
		s.TLS, s.Tried = *p, true
	}
	return s
}

// mode works the sslmode out of what pgx made of it, over the first host: all others are alike.
func mode(c *pgconn.Config) string {
	if strings.HasPrefix(c.Host, "/") || strings.HasPrefix(c.Host, "@") {
		return "socket"
	}
	var plain bool // the same host is tried without, too
	for _, f := range c.Fallbacks {
		plain = plain || f.Host == c.Host && f.Port == c.Port && (f.TLSConfig == nil) != (c.TLSConfig == nil)
	}
	switch t := c.TLSConfig; {
	case t == nil && plain:
		return "allow"
	case t == nil:
		return "disable"
	case plain:
		return "prefer"
	case !t.InsecureSkipVerify:
		return "verify-full"
	case t.VerifyPeerCertificate != nil:
		return "verify-ca"
	}
	return "require"
}

// note remembers how a connection came out.
func (c *Conn) note(pc *pgconn.PgConn) {
	version := ""
	nc := pc.Conn()
	if own, ok := nc.(*conn); ok {
		nc = own.Conn
	}
	if t, ok := nc.(*tls.Conn); ok {
		version = tls.VersionName(t.ConnectionState().Version)
	}
	c.seen.Store(&version)
}

// untrusted returns what to do about a server that isn't who it should be, or can't prove it; "" for other errors.
func untrusted(err error) string {
	var ce *tls.CertificateVerificationError
	var he x509.HostnameError
	var ae x509.UnknownAuthorityError
	var ie x509.CertificateInvalidError
	switch {
	case errors.As(err, &he):
		return "connect by a name that the server's certificate bears; sslmode=verify-ca leaves the name out"
	case errors.As(err, &ce), errors.As(err, &ae), errors.As(err, &ie):
		return "name the authority that signed the server's certificate by sslrootcert=FILE"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "the server has no TLS: switch it on there; a weaker sslmode sends everything in the clear"
	}
	return ""
}
