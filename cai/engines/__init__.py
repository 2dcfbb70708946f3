"""What generates and judges. One file a back-end; heavy imports inside."""
