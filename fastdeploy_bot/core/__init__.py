"""The core: decides over rows. It knows neither GitHub nor processes nor HTTP."""
