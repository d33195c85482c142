// Package model holds the tables of the APIs against what AWS's own clients
// know of the services: their URIs, members, enums, statuses and errors.
package model
