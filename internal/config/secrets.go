package config

import "fmt"

// Secrets says how what the gateway keeps for others (credentials at other servers, for one) is encrypted, and what is
// taken for a secret in logs and in the audit log.
type Secrets struct {
	// File with the key that encrypts the data keys, itself encrypted with the passphrase (age, scrypt); readable by its
	// owner only. dragoman secrets init makes one. Keep a copy: without it nothing that was encrypted can be read.
	KeyFile string `yaml:"key_file" path:"true" example:"/etc/dragoman/keys.age"`
	// Passphrase of the key file, at least 16 characters. Best kept out of the file, as in ${file:/run/secrets/passphrase}.
	Passphrase Secret `yaml:"passphrase" example:"${KEYS_PASSPHRASE}"`
	// Names of members and attributes whose values are secrets here, besides those that everybody calls so (password,
	// token, api_key and the like). Case and separators do not matter.
	Names []string `yaml:"names" example:"[badge_number]"`
}

// Boxed tells whether the configuration says what data keys are encrypted with.
func (s Secrets) Boxed() bool { return s.KeyFile != "" }

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
	for i, name := range s.Names {
		if name == "" || len(name) > 64 {
			c.fault(fmt.Sprintf("secrets.names[%d]", i), fmt.Sprintf("%q is not a name", name), "write 1 to 64 characters")
		}
	}
}
