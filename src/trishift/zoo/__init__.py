"""The zoo: published weights by name, addresses and hubs, all of which become local files first."""
