package main

import "github.com/spf13/cobra"

const helpExitCodes = `Every command ends with one of these codes:

  0    it worked
  1    it did not, for a reason that none of the others tells
  2    the command line is wrong: a flag, an argument, an argument of a tool
  3    the server wants credentials, or refuses those that it got
  4    the server cannot be reached, has failed, or did not answer in time
  5    the tool was called and reports that it failed (isError)
  7    the configuration is faulty
  12   there is no such server, tool or view
  130  it was interrupted (Ctrl-C); a call under way was cancelled

dragoman doctor ends with 1 when any check has failed.`

const helpEnvironment = `Variables that are read:

  DRAGOMAN_TOKEN     bearer token for --url; --token wins
  DRAGOMAN_<KEY>     wins over a key of the file: DRAGOMAN_LISTEN for listen,
                     DRAGOMAN_LOG_LEVEL for log.level; not for servers and views
  MCP_…, OTEL_…      well-known settings of others that are honoured where the
                     file says nothing: docs/config.md has the table
  NO_COLOR           no colours, if set to anything
  CLICOLOR_FORCE     colours even when the output is no terminal, unless 0
  COLUMNS            width of tables in place of the terminal's
  TERM=dumb          no colours, and no line that is written over
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY   the way out for servers with a URL
  SSL_CERT_FILE, SSL_CERT_DIR         authorities that are trusted

The file refers to variables of your own with ${NAME}. A program that is started
as a server inherits PATH, HOME, the language, proxies, certificates and caches,
and nothing else: what else it needs stands under env, or in --env of dragoman
call.`

const helpFormatting = `Standard output has data only, so that it can be piped; remarks, warnings and
progress go to standard error.

  dragoman call  -o text   what the tool says: text as it is, structured content
                           as JSON when there is no text, a line about images,
                           audio and resources (--save DIR saves them)
                 -o json   the whole result, indented
                 -o raw    the whole result as it came, on one line
  dragoman list  -o table  cut to the width of the terminal, whole in a pipe
                 -o json   {"tools": […], "missing": […]}
                 -o name   one name on a line
  dragoman doctor, check, version:  -o json

At a terminal, what nobody sees in what servers send (control characters, tags,
turned text) is shown as escapes. In a pipe, text goes out as it came in.
Colours and lines that are written over appear at a terminal only; see
dragoman help environment.`

// topics are pages of help that are no commands.
func topics() []*cobra.Command {
	page := func(name, short, long string) *cobra.Command {
		return &cobra.Command{Use: name, Short: short, Long: long}
	}
	return []*cobra.Command{
		page("exit-codes", "What the exit codes mean", helpExitCodes),
		page("environment", "Environment variables that are read", helpEnvironment),
		page("formatting", "Forms of output", helpFormatting),
	}
}
