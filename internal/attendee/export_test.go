package attendee

import "github.com/pion/transport/v4"

// SetNet makes media go through a network of the test's, before Run.
func (c *Client) SetNet(n transport.Net) { c.net = n }
