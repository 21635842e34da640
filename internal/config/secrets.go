package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Secrets says how what the gateway keeps for others (credentials at other servers, for one) is encrypted, and what is
// taken for a secret in logs and in the audit log.
type Secrets struct {
	// File with the key that encrypts the data keys, itself encrypted with the passphrase (age, scrypt); readable by its
	// owner only. dragoman secrets init makes one. Keep a copy: without it nothing that was encrypted can be read.
	KeyFile string `yaml:"key_file" path:"true" example:"/etc/dragoman/keys.age"`
	// Passphrase of the key file, at least 16 characters. Best kept out of the file, as in ${file:/run/secrets/passphrase}.
	Passphrase Secret `yaml:"passphrase" example:"${KEYS_PASSPHRASE}"`
	// Key service that encrypts the data keys in the place of a key file. With both, it encrypts, and the key file is for
	// what was encrypted with it before; that is encrypted anew behind the start.
	KMS KeyService `yaml:"kms" aka:"vault,openbao,transit"`
	// Names of members and attributes whose values are secrets here, besides those that everybody calls so (password,
	// token, api_key and the like; preferences and demographics). Case and separators do not matter; of an object or a list
	// nothing is left.
	Names []string `yaml:"names" example:"[badge_number]"`
}

// KeyService is a key in the transit engine of HashiCorp Vault or OpenBao, which never leaves it. It has to be of the type
// aes256-gcm96 (which is the default there) or chacha20-poly1305. The gateway asks to encrypt, to decrypt, and to read
// which version of the key is the newest.
type KeyService struct {
	// Address of the service, without /v1. https, or http on loopback.
	URL string `yaml:"url" aka:"address,addr" example:"https://vault.example.org:8200"`
	// Path of the engine.
	Mount string `yaml:"mount" default:"transit" aka:"path"`
	// Name of the key.
	Key string `yaml:"key" aka:"key_name,name" example:"dragoman"`
	// Namespace of the engine, where there are any.
	Namespace string `yaml:"namespace" example:"platform"`
	// Token to show. Best kept out of the file, as in ${file:/run/secrets/vault}.
	Token Secret `yaml:"token" example:"${VAULT_TOKEN}"`
	// File with the token, read before each request: for whoever lets an agent renew it.
	TokenFile string `yaml:"token_file" path:"true" example:"/run/vault/token"`
}

// Boxed tells whether the configuration says what data keys are encrypted with.
func (s Secrets) Boxed() bool { return s.KeyFile != "" || s.KMS.URL != "" }

// secrets checks that what belongs together is there together, without showing it.
func (c *checker) secrets() {
	s := c.Secrets
	switch {
	case s.KeyFile == "" && s.Passphrase != "":
		c.hollow("secrets.passphrase", "is set, and there is no key file that it belongs to", "set secrets.key_file")
	case s.KeyFile != "" && s.Passphrase == "":
		c.hollow("secrets.key_file", "has no passphrase", "set secrets.passphrase, for example to ${file:/run/secrets/passphrase}")
	case s.Passphrase != "" && len(s.Passphrase) < minToken:
		c.fault("secrets.passphrase", fmt.Sprintf("has %d characters and could be guessed", len(s.Passphrase)),
			fmt.Sprintf("use at least %d; openssl rand -hex 32 makes a good one", minToken))
	}
	c.keyService(s.KMS)
	for i, name := range s.Names {
		if name == "" || len(name) > 64 {
			c.fault(fmt.Sprintf("secrets.names[%d]", i), fmt.Sprintf("%q is not a name", name), "write 1 to 64 characters")
		}
	}
}

var mountForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`)

func (c *checker) keyService(k KeyService) {
	const path = "secrets.kms"
	if k.URL == "" {
		if k.Key != "" || k.Token != "" || k.TokenFile != "" {
			c.hollow(path, "has no url", "say where the key service is, like https://vault.example.org:8200")
		}
		return
	}
	c.secureURL(path+".url", k.URL)
	switch {
	case k.Key == "":
		c.hollow(path, "names no key", "set key to the name of a key of the transit engine")
	case !mountForm.MatchString(k.Key) || strings.Contains(k.Key, "/"):
		c.fault(path+".key", fmt.Sprintf("%q is not the name of a key", k.Key), "use A-Z, a-z, 0-9, _ and -")
	}
	if !mountForm.MatchString(strings.Trim(k.Mount, "/")) {
		c.fault(path+".mount", fmt.Sprintf("%q is not a path", k.Mount), "write it like transit")
	}
	if (k.Token == "") == (k.TokenFile == "") {
		c.hollow(path, "needs one of token and token_file", "set token_file to the file that an agent writes, or token")
	}
}
