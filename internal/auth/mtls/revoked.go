package mtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxList is the most bytes of a file with lists of revoked certificates: some
	// 800,000 of them.
	maxList = 32 << 20
	// lookEvery is how often the files are looked at for changes, when somebody comes.
	lookEvery = 2 * time.Second
)

// revocations are certificate revocation lists (RFC 5280, 5) in files that are
// read again when they change. A nil one revokes nothing.
type revocations struct {
	files []string
	log   *slog.Logger
	held  atomic.Pointer[held]

	mu     sync.Mutex // is held by who looks
	looked time.Time
}

// held is what the files hold.
type held struct {
	stamps []stamp
	lists  map[string][]*list // by issuer, as it is encoded
}

// stamp tells a file from what it was.
type stamp struct {
	changed int64 // Unix time in ns
	size    int64
}

// list is what one authority has revoked.
type list struct {
	crl     *x509.RevocationList
	serials map[string]bool
	signer  sync.Map // digest of a certificate to whether it signed the list
}

func newRevocations(files []string, authorities []*x509.Certificate, log *slog.Logger) (*revocations, error) {
	r := &revocations{files: files, log: log}
	stamps, err := r.stamps()
	if err != nil {
		return nil, err
	}
	h, err := r.read(stamps)
	if err != nil {
		return nil, err
	}
	for _, ca := range authorities { // others sign only what clients show with their certificates
		for _, l := range h.lists[string(ca.RawSubject)] {
			if !l.by(ca) && !l.byAny(authorities) {
				return nil, fmt.Errorf("the list of %s is not signed by the authority of that name in tls.client_ca", ca.Subject)
			}
		}
	}
	r.held.Store(h)
	return r, nil
}

func (r *revocations) stamps() ([]stamp, error) {
	var out []stamp
	for _, name := range r.files {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		out = append(out, stamp{info.ModTime().UnixNano(), info.Size()})
	}
	return out, nil
}

func (r *revocations) read(stamps []stamp) (*held, error) {
	h := &held{stamps: stamps, lists: make(map[string][]*list)}
	for _, name := range r.files {
		data, err := readFile(name, maxList)
		if err != nil {
			return nil, err
		}
		all, err := readLists(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, l := range all {
			h.lists[string(l.crl.RawIssuer)] = append(h.lists[string(l.crl.RawIssuer)], l)
		}
	}
	return h, nil
}

// readLists reads a list in DER, or several in PEM.
func readLists(data []byte) ([]*list, error) {
	var out []*list
	block, rest := pem.Decode(data)
	if block == nil {
		block, rest = &pem.Block{Type: "X509 CRL", Bytes: data}, nil
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		l, err := readList(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	if out == nil {
		return nil, errors.New("it holds no certificate revocation list")
	}
	return out, nil
}

func readList(der []byte) (*list, error) {
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if crl.NextUpdate.IsZero() {
		return nil, fmt.Errorf("the list of %s does not say until when it holds (nextUpdate)", crl.Issuer)
	}
	for _, e := range crl.Extensions {
		if e.Critical { // it is a delta, or about some of the authority's certificates, or about others'
			return nil, fmt.Errorf("the list of %s has the critical extension %s: only whole lists are read, of an authority for its own certificates", crl.Issuer, e.Id)
		}
	}
	l := &list{crl: crl, serials: make(map[string]bool, len(crl.RevokedCertificateEntries))}
	for _, one := range crl.RevokedCertificateEntries {
		for _, e := range one.Extensions {
			if e.Critical {
				return nil, fmt.Errorf("the list of %s has an entry with the critical extension %s", crl.Issuer, e.Id)
			}
		}
		l.serials[string(one.SerialNumber.Bytes())] = true
	}
	return l, nil
}

// by says whether ca has signed the list.
func (l *list) by(ca *x509.Certificate) bool {
	digest := sha256.Sum256(ca.Raw)
	if known, ok := l.signer.Load(digest); ok {
		return known.(bool)
	}
	signed := bytes.Equal(ca.RawSubject, l.crl.RawIssuer) && l.crl.CheckSignatureFrom(ca) == nil
	l.signer.Store(digest, signed)
	return signed
}

func (l *list) byAny(all []*x509.Certificate) bool {
	for _, ca := range all {
		if l.by(ca) {
			return true
		}
	}
	return false
}

// check is the error of a chain in which something was revoked, or of which that
// is not known: whoever configured lists wants each caller looked up in one, and
// a list that has ended is none. Of authorities between a caller's and one of
// tls.client_ca there need not be a list.
func (r *revocations) check(chain []*x509.Certificate, now time.Time) error {
	if r == nil {
		return nil
	}
	r.look(now)
	lists := r.held.Load().lists
	for i, ca := range chain[1:] {
		looked, ended := false, time.Time{}
		for _, l := range lists[string(ca.RawSubject)] {
			switch {
			case !l.by(ca):
			case l.serials[string(chain[i].SerialNumber.Bytes())]:
				return fmt.Errorf("certificate %x of %s was revoked", chain[i].SerialNumber, ca.Subject)
			case now.After(l.crl.NextUpdate):
				ended = l.crl.NextUpdate
			default:
				looked = true
			}
		}
		switch {
		case looked:
		case !ended.IsZero():
			return fmt.Errorf("the revocation list of %s has ended at %s: put a newer one into tls.client_crl", ca.Subject, ended.Format(time.RFC3339))
		case i == 0:
			return fmt.Errorf("tls.client_crl has no list of %s", ca.Subject)
		}
	}
	return nil
}

// look reads files that have changed, if nobody has looked lately. What cannot be
// read leaves in force what there was, which ends by itself.
func (r *revocations) look(now time.Time) {
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if since := now.Sub(r.looked); since >= 0 && since < lookEvery {
		return
	}
	r.looked = now
	was := r.held.Load()
	stamps, err := r.stamps()
	if err == nil {
		if slices.Equal(stamps, was.stamps) {
			return
		}
		var h *held
		if h, err = r.read(stamps); err == nil {
			r.held.Store(h)
			r.log.Info("revocation lists were read again")
			return
		}
	}
	r.log.Warn("revocation lists cannot be read; those that were read before are in force until they end", "err", err)
}

// readFile reads a file of at most so many bytes.
func readFile(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return data, err
}
